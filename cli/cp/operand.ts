import { ThawError } from "../../client/index.ts";

/** One side of a copy. */
export type Operand =
  | { kind: "guest"; sandbox: string; path: string }
  | { kind: "local"; path: string }
  | { kind: "stream" };

/** Parses `SANDBOX:/path`, `-` or a path of this host; one with a colon is written `./a:b`. @throws ThawError `usage`. */
export function parseOperand(text: string): Operand {
  if (text === "-") return { kind: "stream" };
  const [, sandbox, path] = /^([A-Za-z0-9][A-Za-z0-9-]*):(.*)$/s.exec(text) ?? [];
  if (sandbox === undefined || path === undefined) {
    if (text === "") throw new ThawError("usage", "a path is empty", { hint: "thaw cp --help" });
    return { kind: "local", path: text };
  }
  if (!path.startsWith("/")) {
    throw new ThawError("usage", `${text}: a path in a sandbox begins with /`, {
      hint: `${sandbox}:/${path}, or ./${text} for a file here`,
    });
  }
  return { kind: "guest", sandbox, path };
}

/** The last name of a path; empty for `/`. */
export function lastName(path: string): string {
  return path.replace(/\/+$/, "").split("/").at(-1) ?? "";
}

/** The folder a path's last name is in. */
export function folderOf(path: string): string {
  const bare = path.replace(/\/+$/, "");
  const at = bare.lastIndexOf("/");
  if (at < 0) return ".";
  return at === 0 ? "/" : bare.slice(0, at);
}

/** Whether a path names what is in a folder rather than the folder: it ends in `/.`, or is `.` itself. */
export function namesContents(path: string): boolean {
  return path === "." || path === "/" || path.endsWith("/.");
}

/** Joins a folder and a name. */
export function under(folder: string, name: string): string {
  return folder.endsWith("/") ? `${folder}${name}` : `${folder}/${name}`;
}
