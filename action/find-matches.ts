import { posix } from "node:path";
import { type FileEntry, type GuestFiles, ThawError, workspacePath } from "../client/index.ts";

/** Something beneath /workspace. */
export interface Match {
  path: string;
  type: FileEntry["type"];
}

const MAX_FOLDERS = 5_000;
const MAX_MATCHES = 10_000;
const COPIED: readonly string[] = ["file", "dir", "symlink"];

const hasWildcard = (part: string): boolean => /[*?[\\]/.test(part);

/** What a pattern names beneath /workspace; of a folder that it names, nothing more. @throws ThawError when there is too much to look at */
export async function findMatches(
  files: GuestFiles & Listing,
  pattern: string,
  signal: AbortSignal,
): Promise<Match[]> {
  const parts = pattern.split("/");
  const fixed = parts.findIndex(hasWildcard);
  if (fixed < 0) return findOne(files, pattern, signal);
  const { compileGlob } = await import("../client/index.ts");
  const matches = compileGlob(latin1(pattern), { pathname: true, fold: false });
  const depth = parts.includes("**") ? Number.POSITIVE_INFINITY : parts.length;
  const found: Match[] = [];
  const folders = [parts.slice(0, fixed).join("/")];
  for (let looked = 0; folders.length > 0; looked += 1) {
    if (looked === MAX_FOLDERS) throw tooMuch(`more than ${MAX_FOLDERS} folders`);
    const folder = folders.pop() ?? "";
    for (const entry of await listFolder(files, folder, signal)) {
      const path = posix.join(folder, entry.name);
      if (matches(latin1(path)) && COPIED.includes(entry.type)) found.push({ path, type: entry.type });
      else if (entry.type === "dir" && path.split("/").length < depth) folders.push(path);
    }
    if (found.length > MAX_MATCHES) throw tooMuch(`more than ${MAX_MATCHES} matches`);
  }
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** What lists folders. */
interface Listing {
  list: (
    path: string,
    options: { signal: AbortSignal },
  ) => Promise<{ entries: FileEntry[]; truncated: boolean }>;
}

function latin1(text: string): string {
  return Buffer.from(text).toString("latin1");
}

function tooMuch(what: string): ThawError {
  return new ThawError("conflict", what, { hint: "to copy a whole folder, give the folder itself" });
}

async function findOne(files: GuestFiles, path: string, signal: AbortSignal): Promise<Match[]> {
  try {
    const { type } = await files.stat(posix.join(workspacePath, path), { signal });
    return COPIED.includes(type) ? [{ path, type }] : [];
  } catch (error) {
    if (error instanceof ThawError && error.code === "not-found") return [];
    throw error;
  }
}

async function listFolder(
  files: Listing,
  folder: string,
  signal: AbortSignal,
): Promise<{ name: string; type: FileEntry["type"] }[]> {
  const path = posix.join(workspacePath, folder);
  let listing: Awaited<ReturnType<Listing["list"]>>;
  try {
    listing = await files.list(path, { signal });
  } catch (error) {
    if (error instanceof ThawError && error.code === "not-found") return [];
    throw error;
  }
  if (listing.truncated) throw tooMuch(`${path} has more than ${listing.entries.length} entries`);
  // A guest that names `..` gets nothing by it.
  return listing.entries
    .filter(({ nameBase64 }) => nameBase64 === undefined)
    .map(({ path: name, type }) => ({ name: posix.basename(name), type }))
    .filter(({ name }) => name !== "" && name !== "." && name !== ".." && name !== ".git");
}
