import { MAX_PATH_BYTES } from "./format.ts";

const slash = 0x2f;
const dot = 0x2e;

function isDots(part: Uint8Array, count: number): boolean {
  return part.length === count && part.every((byte) => byte === dot);
}

/** Splits at slashes. */
export function splitPath(path: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let from = 0; ; ) {
    const to = path.indexOf(slash, from);
    if (to < 0) return [...parts, path.subarray(from)];
    parts.push(path.subarray(from, to));
    from = to + 1;
  }
}

/** Why a record's path is not allowed; undefined when it is. */
export function refusePath(path: Buffer, parts: readonly Buffer[]): string | undefined {
  if (path.length === 0) return "empty path";
  if (path.length > MAX_PATH_BYTES) return `path of ${path.length} bytes; ${MAX_PATH_BYTES} is the limit`;
  if (path.includes(0)) return "path with a NUL";
  for (const part of parts) {
    if (part.length === 0) return "path with an empty part";
    if (isDots(part, 1) || isDots(part, 2)) return "path with a . or .. part";
    if (part.length > 255) return "a name of more than 255 bytes";
  }
  return undefined;
}

/**
 * Why a symlink's target is not allowed; undefined when it is. `depth` is the number of folders above the link, in the tree. `..` is
 * allowed at the beginning only: behind a name it could climb out through another link.
 */
export function refuseTarget(target: Buffer, depth: number): string | undefined {
  if (target.length === 0) return "a symlink to nothing";
  if (target.includes(0)) return "a symlink's target with a NUL";
  if (target[0] === slash) return "a symlink to an absolute path";
  let above = 0;
  let named = false;
  for (const part of splitPath(target)) {
    if (part.length === 0 || isDots(part, 1)) continue;
    if (!isDots(part, 2)) named = true;
    else if (named) return "a symlink that climbs behind a name";
    else if (++above > depth) return "a symlink that leaves the tree";
  }
  return undefined;
}
