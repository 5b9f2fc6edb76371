/** Files that a recipe places in its machine, read from the folder that it lies in: the daemon may be on another host. */
import { constants } from "node:fs";
import { open, readdir, readlink, realpath } from "node:fs/promises";
import { dirname, join, posix, sep } from "node:path";
import type { TemplateFiles } from "../api/schema.ts";
import { MAX_TEMPLATE_FILES, MAX_TEMPLATE_FILES_BYTES } from "../api/template-limits.ts";
import { ThawError } from "./errors.ts";

const MAX_DEPTH = 32;

/**
 * Reads what the recipe's `files` name, and what is beneath folders among them. Links are resolved and must not lead out of the folder.
 * @param recipe a recipe with mistakes names no files: the daemon tells the mistakes
 * @throws ThawError `usage`
 */
export async function readTemplateFiles(recipe: string, file: string): Promise<{ files?: TemplateFiles }> {
  const names = await namesIn(recipe);
  if (names.length === 0) return {};
  const root = await realpath(dirname(file));
  const files: TemplateFiles = {};
  const left = { bytes: MAX_TEMPLATE_FILES_BYTES, files: MAX_TEMPLATE_FILES };
  const read = async (name: string, depth: number): Promise<void> => {
    const path = await realpath(join(root, name)).catch((error: NodeJS.ErrnoException) => {
      throw refused(name, error.code === "ENOENT" ? "there is no such file" : error.message);
    });
    if (path !== root && !path.startsWith(`${root}${sep}`)) throw refused(name, `it lies outside ${root}`);
    await using handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    // A folder on the way may have become a link meanwhile.
    const opened = await readlink(`/proc/self/fd/${handle.fd}`);
    if (opened !== root && !opened.startsWith(`${root}${sep}`))
      throw refused(name, `it lies outside ${root}`);
    const stats = await handle.stat();
    if (stats.isDirectory()) {
      if (depth === MAX_DEPTH) throw refused(name, `it is more than ${MAX_DEPTH} folders deep`);
      for (const entry of (await readdir(path)).sort()) await read(posix.join(name, entry), depth + 1);
      return;
    }
    if (!stats.isFile()) throw refused(name, "it is neither a file nor a folder");
    left.bytes -= stats.size;
    left.files -= 1;
    if (left.files < 0) throw refused(name, `there are more than ${MAX_TEMPLATE_FILES} files`);
    if (left.bytes < 0) throw refused(name, `all files have more than ${MAX_TEMPLATE_FILES_BYTES >> 20} MiB`);
    const data = Buffer.alloc(stats.size);
    const { bytesRead } = await handle.read(data, 0, stats.size, 0);
    if (bytesRead !== stats.size) throw refused(name, "it changed while it was read");
    files[name] = { data: data.toString("base64"), executable: (stats.mode & 0o100) !== 0 };
  };
  for (const name of names) await read(name, 0);
  return { files };
}

/** Paths that the recipe's `files` name; none of a recipe with mistakes. */
export async function namesIn(recipe: string): Promise<string[]> {
  if (!/^\s*["']?files["']?\s*:/m.test(recipe) && !/[{,]\s*["']?files["']?\s*:/.test(recipe)) return [];
  const { parse } = await import("yaml");
  try {
    const { files } = parse(recipe, { maxAliasCount: 100 }) as { files?: unknown };
    if (!Array.isArray(files)) return [];
    const found = files.map((one: { from?: unknown } | null) => one?.from);
    return found
      .filter((from) => typeof from === "string")
      .map((from) => posix.normalize(from).replace(/\/$/, ""));
  } catch {
    return [];
  }
}

function refused(name: string, why: string): ThawError {
  return new ThawError("usage", `files: ${name} of the template can't be sent: ${why}`, {
    hint: "files come from the template's own folder; larger ones: fetch, or a setup step",
  });
}
