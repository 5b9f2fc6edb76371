/** Writer of a tree stream (docs/PROTOCOL.md, "Trees"): folders and files of root, whole, times zero. */

const DIRECTORY = 1;
const FILE = 2;
const END = 0;

/** @param files content by path; their folders are made */
export function treeOf(files: ReadonlyMap<string, Buffer>): Buffer {
  const chunks: Buffer[] = [];
  const made = new Set<string>();
  for (const [path, content] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const parts = path.split("/").slice(0, -1);
    for (let depth = 1; depth <= parts.length; depth++) {
      const folder = parts.slice(0, depth).join("/");
      if (!made.has(folder)) chunks.push(header(DIRECTORY, 0o755, folder));
      made.add(folder);
    }
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(content.length));
    chunks.push(header(FILE, 0o644, path), size);
    if (content.length > 0) chunks.push(extent(content.length), content);
    chunks.push(extent(0));
  }
  chunks.push(Buffer.from([END]));
  return Buffer.concat(chunks);
}

function header(kind: number, mode: number, path: string): Buffer {
  const name = Buffer.from(path);
  const bytes = Buffer.alloc(27);
  bytes.writeUInt8(kind);
  bytes.writeUInt32LE(mode, 1);
  bytes.writeUInt16LE(name.length, 25);
  return Buffer.concat([bytes, name]);
}

function extent(length: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32LE(length, 8);
  return bytes;
}
