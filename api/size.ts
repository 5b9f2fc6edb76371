/** Sizes of memory and disks as people write them: in flags, templates, thaw.yaml, config.yaml. */

const UNIT_MIB: Readonly<Record<string, number>> = { K: 1 / 1024, M: 1, G: 1024, T: 1_048_576 };

/** The memory that a sandbox may have, in MiB. */
export const MIN_MEMORY_MIB = 64;
export const MAX_MEMORY_MIB = 1_048_576;

/** The syntax of a size. `parseSize` also checks that it is a whole number of MiB. */
export const SIZE_PATTERN = /^(\d+(?:\.\d+)?)\s*([KMGTkmgt])(?:[iI]?[bB])?$/;

export const SIZE_PHRASE = "a size such as 512M or 2GiB, a whole number of MiB";
export const MEMORY_PHRASE = "a size such as 512M or 2GiB, whole MiB between 64M and 1T";

/** Parses `512M`, `512MiB`, `2G`, `1.5 GiB`; units are powers of 1024. @returns MiB, a whole number of 1 and more. @throws RangeError */
export function parseSize(text: string): number {
  const [, number, unit] = SIZE_PATTERN.exec(text) ?? [];
  if (number === undefined || unit === undefined) {
    throw new RangeError("It is not a size: write 512M, 2G or 2GiB.");
  }
  const mib = Number(number) * (UNIT_MIB[unit.toUpperCase()] ?? 0);
  if (!Number.isSafeInteger(mib) || mib < 1) throw new RangeError("A size is a whole number of MiB.");
  return mib;
}

/** Parses a size that a sandbox's memory may have. @returns MiB, 64 to 1,048,576. @throws RangeError */
export function parseMemory(text: string): number {
  const mib = parseSize(text);
  if (mib < MIN_MEMORY_MIB || mib > MAX_MEMORY_MIB) throw new RangeError("Memory is between 64M and 1T.");
  return mib;
}

const SIZE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** A number of bytes for people: `0 B`, `1.1 MiB`, `312 MiB`. */
export function formatSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < SIZE_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 9.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${SIZE_UNITS[unit]}`;
}
