import { type FileEntry, type GuestFiles, ThawError } from "../../client/index.ts";
import { folderOf } from "./operand.ts";

const MAX_LINKS = 40;

/** Something in a sandbox, links followed. */
export interface GuestPlace {
  /** Where it is; where a link led to. */
  path: string;
  entry: FileEntry;
}

async function stat(
  files: GuestFiles,
  { path, signal }: { path: string; signal: AbortSignal },
): Promise<FileEntry | undefined> {
  try {
    return await files.stat(path, { signal });
  } catch (error) {
    if (error instanceof ThawError && error.code === "not-found" && path !== "/") {
      // the sandbox itself may be what was not found
      await files.stat("/", { signal });
      return undefined;
    }
    throw error;
  }
}

/** Looks at a path of a sandbox; undefined when nothing is there. Where its links lead is the guest's to say, so they are counted. */
export async function findInGuest(
  files: GuestFiles,
  options: { path: string; signal: AbortSignal },
): Promise<GuestPlace | undefined> {
  let { path } = options;
  for (let links = 0; links <= MAX_LINKS; links++) {
    const entry = await stat(files, { ...options, path });
    if (entry === undefined) return undefined;
    if (entry.type !== "symlink" || entry.target === undefined) return { path, entry };
    path = entry.target.startsWith("/") ? entry.target : `${folderOf(path)}/${entry.target}`;
  }
  throw new ThawError("conflict", `${options.path}: more than ${MAX_LINKS} links lead from there`);
}
