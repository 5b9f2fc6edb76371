/** Headers of tar files (POSIX.1-1988 ustar): just the plain files that an archive of ours has. */

export const BLOCK_BYTES = 512;
const largestOctal = 0o77777777777;

/** @throws RangeError when the name is longer than 100 bytes. */
export function tarHeader(name: string, size: number): Buffer {
  const header = Buffer.alloc(BLOCK_BYTES);
  if (Buffer.byteLength(name) > 100) throw new RangeError(`${name} is too long for an archive`);
  header.write(name, 0);
  header.write("0000644\0", 100);
  header.write("0000000\0", 108);
  header.write("0000000\0", 116);
  if (size <= largestOctal) header.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  else {
    // GNU's and star's way for large ones: base 256, marked by the first bit.
    header.writeBigUInt64BE(BigInt(size), 128);
    header[124] = 0x80;
  }
  header.write("00000000000\0", 136);
  header.write("0", 156);
  header.write("ustar\0", 257);
  header.write("00", 263);
  header.write(`${checksum(header).toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}

/** Bytes after content of `size` up to the next block. */
export function tarPadding(size: number): number {
  return (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;
}

/** An entry, `end` for the zeros at the end, or what is wrong with it. */
export type TarEntry = { name: string; size: number; type: string } | { end: true } | { fault: string };

export function readTarHeader(header: Buffer): TarEntry {
  if (header.every((byte) => byte === 0)) return { end: true };
  const stated = Number.parseInt(header.toString("latin1", 148, 156), 8);
  if (stated !== checksum(header)) return { fault: "has a header with a wrong checksum" };
  if (header.toString("latin1", 257, 262) !== "ustar") return { fault: "is not a ustar archive" };
  const prefix = text(header, 345, 500);
  const size =
    (header[124] ?? 0) & 0x80
      ? Number(header.readBigUInt64BE(128))
      : Number.parseInt(text(header, 124, 136).trim() || "0", 8);
  if (!Number.isSafeInteger(size) || size < 0) return { fault: "has an entry of an impossible size" };
  return {
    name: prefix === "" ? text(header, 0, 100) : `${prefix}/${text(header, 0, 100)}`,
    size,
    type: String.fromCharCode(header[156] ?? 0).replace("\0", "0"),
  };
}

function text(header: Buffer, from: number, to: number): string {
  const field = header.toString("latin1", from, to);
  const end = field.indexOf("\0");
  return end < 0 ? field : field.slice(0, end);
}

function checksum(header: Buffer): number {
  let sum = 0;
  for (const [index, byte] of header.entries()) sum += index >= 148 && index < 156 ? 0x20 : byte;
  return sum;
}
