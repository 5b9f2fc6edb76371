import { ThawError } from "../../client/errors.ts";
import type { FileEntry, ThawClient } from "../../client/index.ts";
import { folderOf } from "./operand.ts";

const maxLinks = 40;

/** Files of a sandbox, or of a captured machine. */
export type GuestFiles = Pick<ThawClient, "statFile" | "getFile" | "getTree">;

/** Something in a sandbox, links followed. */
export interface GuestPlace {
  /** Where it is; where a link led to. */
  path: string;
  entry: FileEntry;
}

async function stat(
  client: GuestFiles,
  sandbox: string,
  options: { path: string; signal: AbortSignal },
): Promise<FileEntry | undefined> {
  try {
    return await client.statFile(sandbox, options);
  } catch (error) {
    if (error instanceof ThawError && error.code === "not-found" && options.path !== "/") {
      // the sandbox itself may be what was not found
      await client.statFile(sandbox, { ...options, path: "/" });
      return undefined;
    }
    throw error;
  }
}

/** Looks at a path of a sandbox; undefined when nothing is there. Where its links lead is the guest's to say, so they are counted. */
export async function findInGuest(
  client: GuestFiles,
  sandbox: string,
  options: { path: string; signal: AbortSignal },
): Promise<GuestPlace | undefined> {
  let { path } = options;
  for (let links = 0; links <= maxLinks; links++) {
    const entry = await stat(client, sandbox, { ...options, path });
    if (entry === undefined) return undefined;
    if (entry.type !== "symlink" || entry.target === undefined) return { path, entry };
    path = entry.target.startsWith("/") ? entry.target : `${folderOf(path)}/${entry.target}`;
  }
  throw new ThawError("conflict", `${options.path}: more than ${maxLinks} links lead from there`);
}
