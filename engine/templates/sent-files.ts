/** Files of a template's folder, as its client sent them with the recipe. Pure. */
import { posix } from "node:path";
import type { z } from "zod";
import type { templateFiles } from "../../api/template-files.ts";
import { sha256 } from "../../durable/digest.ts";
import { EngineError } from "../errors.ts";

/** The mode of files whose recipe gives none. */
export const PLAIN_MODE = 0o644;
const EXECUTABLE = 0o755;

/** An entry of a recipe's `files`. */
interface WantedFiles {
  from: string;
  to: string;
  mode?: number | undefined;
  owner?: string | undefined;
}

/** A file that was sent, and where and how it is placed. */
export interface SentFile {
  to: string;
  mode: number;
  owner: string;
  sha256: string;
  data: Buffer;
}

/** The recipe's `files`, with what was sent of them. Throws `invalid-template` for those that were not sent. */
export function sentFiles(wanted: readonly WantedFiles[], sent: z.infer<typeof templateFiles>): SentFile[] {
  return wanted.flatMap(({ from, to, mode, owner }) => {
    const name = posix.normalize(from).replace(/\/$/, "");
    const found = Object.entries(sent)
      .filter(([path]) => name === "." || path === name || path.startsWith(`${name}/`))
      .toSorted(([a], [b]) => (a < b ? -1 : 1));
    if (found.length === 0)
      throw new EngineError("invalid-template", `files: ${from} was not sent with the recipe`, {
        hint: "build the template by its path, with a thaw of this version",
      });
    return found.map(([path, { data, executable }]) => {
      const bytes = Buffer.from(data, "base64");
      const target =
        path === name
          ? to.endsWith("/")
            ? `${to}${posix.basename(path)}`
            : to
          : posix.join(to, name === "." ? path : path.slice(name.length));
      return {
        to: target,
        mode: mode ?? (executable ? EXECUTABLE : PLAIN_MODE),
        ...{ owner: owner ?? "root", sha256: sha256(bytes), data: bytes },
      };
    });
  });
}
