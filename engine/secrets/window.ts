/** The first look at bytes: where may something begin that is looked for? One pass, whatever the number of things. */

/** Everything that is looked for begins with so many bytes that are known. */
export const WINDOW_BYTES = 4;

export interface WindowTable {
  /** Odd, 32 bits. */
  multiplier: number;
  /** Not zero where the hash of a window that is looked for leads. */
  marks: Uint8Array;
}

/** 16 bits of the four bytes at `at`. */
export function windowHash(bytes: Uint8Array, at: number, multiplier: number): number {
  const [a = 0, b = 0, c = 0, d = 0] = bytes.subarray(at, at + WINDOW_BYTES);
  return Math.imul((a << 24) | (b << 16) | (c << 8) | d, multiplier) >>> 16;
}

export function windowTable(hashes: Iterable<number>, multiplier: number): WindowTable {
  const marks = new Uint8Array(1 << 16);
  for (const hash of hashes) marks[hash] = 1;
  return { multiplier, marks };
}

/** The next place from `from` on where something may begin; -1: nowhere that can be told (the last three bytes can't). */
export function nextCandidate(bytes: Uint8Array, from: number, { multiplier, marks }: WindowTable): number {
  const end = bytes.length;
  if (end - from < WINDOW_BYTES) return -1;
  let word =
    ((bytes[from] as number) << 16) | ((bytes[from + 1] as number) << 8) | (bytes[from + 2] as number);
  for (let at = from + WINDOW_BYTES - 1; at < end; at++) {
    word = (word << 8) | (bytes[at] as number);
    if (marks[Math.imul(word, multiplier) >>> 16] !== 0) return at - (WINDOW_BYTES - 1);
  }
  return -1;
}
