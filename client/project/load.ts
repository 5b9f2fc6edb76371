import { realpathSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import { ThawError } from "../errors.ts";
import { findProjectFile, findRepository } from "./find.ts";
import { readTextNow } from "./read-text.ts";
import type { ProjectFile } from "./schema.ts";

/** A project file that was read and found sound. */
export interface Project {
  /** Absolute. */
  file: string;
  /** What paths in it are relative to. */
  folder: string;
  content: ProjectFile;
  /** What its author should know, as `FILE:LINE:COLUMN: PATH: what`. */
  warnings: string[];
}

export const MAX_FILE_BYTES = 65_536;

/** As `readTextNow`. @throws ThawError `usage` */
export async function readBounded(
  file: string,
  { maxBytes, hint }: { maxBytes: number; hint: string },
): Promise<string> {
  try {
    return readTextNow(file, maxBytes);
  } catch (error) {
    throw new ThawError("usage", `can't read ${file}: ${(error as Error).message}`, { hint, cause: error });
  }
}

/** How a file is called in messages: from the current folder when it is in or near it. */
export function nameFile(file: string): string {
  const near = relative(process.cwd(), file);
  return near.startsWith("../../../") ? file : near;
}

/**
 * Reads and checks the project file: `file`, or the nearest `thaw.yaml` at or above `from` (default: the current folder).
 * @returns undefined when none is named and there is none.
 * @throws ThawError `usage` with every mistake at once.
 */
export async function loadProject(
  options: { file?: string | undefined; from?: string } = {},
): Promise<Project | undefined> {
  const file = options.file === undefined ? findProjectFile(options.from ?? ".") : resolve(options.file);
  if (file === undefined) return undefined;
  const text = await readBounded(file, { maxBytes: MAX_FILE_BYTES, hint: "use another file: --file PATH" });
  const folder = realpathSync(dirname(file));
  const { parseProject } = await import("./parse.ts");
  const { pathChecker } = await import("./paths.ts");
  const checkPath = pathChecker(folder, findRepository(folder));
  return { file, folder, ...parseProject(text, { file: nameFile(file), checkPath }) };
}
