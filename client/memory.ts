const unitMib: Readonly<Record<string, number>> = { K: 1 / 1024, M: 1, G: 1024, T: 1_048_576 };

/** What a size looks like; `parseMemory` says whether it is one. */
export const memoryPattern = /^(\d+(?:\.\d+)?)\s*([KMGTkmgt])(?:[iI]?[bB])?$/;

/** Parses a size: `512M`, `512MiB`, `2G`, `2GiB`; units are powers of 1024. @returns MiB, a whole number of 64 and more. @throws RangeError */
export function parseMemory(text: string): number {
  const [, number, unit] = memoryPattern.exec(text) ?? [];
  if (number === undefined || unit === undefined) {
    throw new RangeError("It is not a size: write 512M, 2G or 2GiB.");
  }
  const mib = Number(number) * (unitMib[unit.toUpperCase()] ?? 0);
  if (!Number.isInteger(mib)) throw new RangeError("A size is a whole number of MiB.");
  if (mib < 64 || mib > 1_048_576) throw new RangeError("Memory is between 64M and 1T.");
  return mib;
}
