/**
 * Reads and writes just enough of qcow2 to open disks that others made and to make empty overlays without a process.
 * Source: docs/interop/qcow2.rst in QEMU's tree. All integers are big-endian.
 */
import type { FileHandle } from "node:fs/promises";

const MAGIC = 0x514649fb;
const CLUSTER_BITS = 16;
const CLUSTER = 1 << CLUSTER_BITS;
const L1_ENTRY_SPAN = CLUSTER * (CLUSTER / 8);
const INCOMPATIBLE_CORRUPT = 1n << 1n;
const INCOMPATIBLE_EXTERNAL_DATA = 1n << 2n;
/** dirty, compression type, extended L2. */
const INCOMPATIBLE_HARMLESS = (1n << 0n) | (1n << 3n) | (1n << 4n);

/** Bytes of a file's start that `checkQcow2` wants: header and the whole of a first cluster is not needed. */
export const QCOW2_HEADER_BYTES = 112;

/** The start of an opened disk, for `checkQcow2`. */
export async function readQcow2Header(disk: FileHandle): Promise<Buffer> {
  const { buffer, bytesRead } = await disk.read(Buffer.alloc(QCOW2_HEADER_BYTES), 0, QCOW2_HEADER_BYTES, 0);
  return buffer.subarray(0, bytesRead);
}

export type Qcow2Verdict = { ok: true; virtualSize: number } | { ok: false; reason: string };

/**
 * Whether a disk stands alone: no backing file, no external data file, no encryption, nothing this code does not know. QEMU follows
 * what a header names, so a disk somebody else made is never opened unlooked at.
 * @param header the first `QCOW2_HEADER_BYTES` of the file, or fewer when it is shorter
 */
export function checkQcow2(header: Buffer): Qcow2Verdict {
  const no = (reason: string): Qcow2Verdict => ({ ok: false, reason });
  if (header.length < 72) return no(`is ${header.length} bytes long, shorter than a qcow2 header`);
  if (header.readUInt32BE(0) !== MAGIC) return no("is not a qcow2 image");
  const version = header.readUInt32BE(4);
  if (version !== 2 && version !== 3) return no(`has qcow2 version ${version}`);
  if (header.readBigUInt64BE(8) !== 0n || header.readUInt32BE(16) !== 0) return no("names a backing file");
  const clusterBits = header.readUInt32BE(20);
  if (clusterBits < 9 || clusterBits > 21) return no(`has clusters of 2^${clusterBits} bytes`);
  const size = header.readBigUInt64BE(24);
  if (size === 0n || size > 1n << 46n) return no(`says it is ${size} bytes large`);
  if (header.readUInt32BE(32) !== 0) return no("is encrypted");
  if (version === 3) {
    if (header.length < 104) return no("ends within its header");
    const features = header.readBigUInt64BE(72);
    if (features & INCOMPATIBLE_EXTERNAL_DATA) return no("names an external data file");
    if (features & INCOMPATIBLE_CORRUPT) return no("is marked corrupt");
    if (features & ~INCOMPATIBLE_HARMLESS) return no(`needs unknown features 0x${features.toString(16)}`);
    if (header.readUInt32BE(100) < 104) return no("has a header too short for its version");
  }
  return { ok: true, virtualSize: Number(size) };
}

/**
 * An empty image (four clusters, mostly zeros) of `virtualSize` bytes. It names no backing file: its backing is given at launch.
 * Throws when `virtualSize` is not a positive multiple of 512 up to 4 TiB.
 */
export function emptyQcow2(virtualSize: number): Buffer {
  const l1Entries = Math.ceil(virtualSize / L1_ENTRY_SPAN);
  if (virtualSize <= 0 || virtualSize % 512 !== 0 || l1Entries > CLUSTER / 8) {
    throw new RangeError(`a disk of ${virtualSize} bytes is not possible`);
  }
  const image = Buffer.alloc(4 * CLUSTER);
  image.writeUInt32BE(MAGIC, 0);
  image.writeUInt32BE(3, 4);
  image.writeUInt32BE(CLUSTER_BITS, 20);
  image.writeBigUInt64BE(BigInt(virtualSize), 24);
  image.writeUInt32BE(l1Entries, 36);
  image.writeBigUInt64BE(BigInt(3 * CLUSTER), 40); // L1 table
  image.writeBigUInt64BE(BigInt(CLUSTER), 48); // refcount table
  image.writeUInt32BE(1, 56); // refcount table, clusters
  image.writeUInt32BE(4, 96); // refcount order: 16 bits
  image.writeUInt32BE(104, 100); // header length
  image.writeBigUInt64BE(BigInt(2 * CLUSTER), CLUSTER); // refcount table -> refcount block
  for (let cluster = 0; cluster < 4; cluster++) image.writeUInt16BE(1, 2 * CLUSTER + 2 * cluster);
  return image;
}
