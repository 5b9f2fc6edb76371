/** Writes files of the repository: all or none, and none that is there unless told so. */
import { lstatSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, sep } from "node:path";
import { ThawError } from "../../../client/index.ts";

export interface Planned {
  /** From the repository's root. */
  path: string;
  text: string;
  /** What is there now; undefined when nothing is. */
  before: string | undefined;
}

/** What is there is compared line by line with what would be. */
const MAX_BYTES = 65_536;

function refuse(path: string, why: string): ThawError {
  return new ThawError("usage", `${path} ${why}; nothing was written`, {
    hint: "move it away, then run this again",
  });
}

/** The nearest folder above that exists. A link in it could lead out of the repository. */
function checkFolder(root: string, path: string): void {
  let folder = dirname(join(root, path));
  while (lstatSync(folder, { throwIfNoEntry: false }) === undefined) folder = dirname(folder);
  const real = realpathSync(folder);
  if (real !== root && !real.startsWith(`${root}${sep}`))
    throw refuse(dirname(path), "leads out of the repository");
  if (!lstatSync(real).isDirectory()) throw refuse(dirname(path), "is not a folder");
}

/** What is there. @throws ThawError `usage` for what is no file of the repository's own */
export function planFiles(root: string, texts: Readonly<Record<string, string>>): Planned[] {
  return Object.entries(texts).map(([path, text]) => {
    checkFolder(root, path);
    const stats = lstatSync(join(root, path), { throwIfNoEntry: false });
    if (stats !== undefined && !stats.isFile()) throw refuse(path, "is not a file");
    if ((stats?.size ?? 0) > MAX_BYTES) throw refuse(path, `has more than ${MAX_BYTES} bytes`);
    return { path, text, before: stats === undefined ? undefined : readFileSync(join(root, path), "utf8") };
  });
}

export function writeFiles(root: string, planned: readonly Planned[]): void {
  const staged = planned.map(({ path, text }) => ({
    path: join(root, path),
    text,
    temporary: join(root, `${path}.${process.pid}.new`),
  }));
  try {
    for (const { path, text, temporary } of staged) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(temporary, text, { flag: "wx" });
    }
    for (const { path, temporary } of staged) renameSync(temporary, path);
  } finally {
    for (const { temporary } of staged) rmSync(temporary, { force: true });
  }
}
