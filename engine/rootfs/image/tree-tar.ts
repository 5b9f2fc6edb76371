/** A tree as a tar archive: each name once, folders before what is in them, no name that leads through a link. */
import { readSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import type { Content, Inode, LayerTree } from "./layer-tree.ts";

const BLOCK = 512;
const CHUNK = 1 << 20;
/** Shorter content is read at once: a turn of the event loop costs more. */
const SMALL = 64 << 10;
const LARGEST_OCTAL = 0o7777777;
const LARGEST_OCTAL_SIZE = 0o77777777777;
const TYPES = { file: "0", link: "1", symlink: "2", directory: "5", fifo: "6" } as const;
/** Attributes that mean the same in the machine; others are of the file systems, the labels or the tools of whoever made the image. */
const KEPT_ATTRIBUTES = /^(security\.capability$|user\.)/;

/** @param layers the uncompressed layers, open */
export async function* tarOf(tree: LayerTree, layers: readonly FileHandle[]): AsyncGenerator<Buffer, void> {
  let out = Buffer.allocUnsafe(CHUNK);
  let used = 0;
  const full = (): Buffer => {
    const chunk = out.subarray(0, used);
    out = Buffer.allocUnsafe(CHUNK);
    used = 0;
    return chunk;
  };
  function* put(bytes: Buffer): Generator<Buffer, void> {
    for (let at = 0; at < bytes.length; ) {
      if (used === CHUNK) yield full();
      const copied = bytes.copy(out, used, at);
      used += copied;
      at += copied;
    }
  }
  async function* putContent(content: Content): AsyncGenerator<Buffer, void> {
    if (Buffer.isBuffer(content)) return yield* put(content);
    const file = layers[content.layer] as FileHandle;
    for (let at = 0; at < content.size; ) {
      if (used === CHUNK) yield full();
      const length = Math.min(CHUNK - used, content.size - at);
      const where = content.offset + at;
      const bytesRead =
        length <= SMALL
          ? readSync(file.fd, out, used, length, where)
          : (await file.read(out, used, length, where)).bytesRead;
      if (bytesRead === 0) throw new Error("an uncompressed layer was cut off");
      used += bytesRead;
      at += bytesRead;
    }
  }

  yield* put(headers("./", tree.root, undefined));
  for (const { path, inode, first } of tree.entries()) {
    yield* put(headers(`./${path}${inode.kind === "directory" ? "/" : ""}`, inode, first));
    if (inode.kind !== "file" || first !== undefined) continue;
    yield* putContent(inode.content);
    yield* put(Buffer.alloc((BLOCK - (sizeOf(inode) % BLOCK)) % BLOCK));
  }
  yield* put(Buffer.alloc(2 * BLOCK));
  yield full();
}

/** Bytes of a file's content. */
export function sizeOf(inode: Inode): number {
  if (inode.kind !== "file") return 0;
  return Buffer.isBuffer(inode.content) ? inode.content.length : inode.content.size;
}

/** @param first where the same inode is already; it becomes a hard link to that */
function headers(path: string, inode: Inode, first: string | undefined): Buffer {
  const type = first === undefined ? TYPES[inode.kind] : TYPES.link;
  const target = first === undefined ? (inode.kind === "symlink" ? inode.target : "") : `./${first}`;
  const size = first === undefined ? sizeOf(inode) : 0;
  const records: [string, Buffer][] = [];
  const record = (key: string, value: string): void => void records.push([key, Buffer.from(value, "latin1")]);
  if (path.length > 100) record("path", path);
  if (target.length > 100) record("linkpath", target);
  if (size > LARGEST_OCTAL_SIZE) record("size", String(size));
  if (inode.uid > LARGEST_OCTAL) record("uid", String(inode.uid));
  if (inode.gid > LARGEST_OCTAL) record("gid", String(inode.gid));
  if (first === undefined && inode.kind !== "symlink")
    for (const [name, value] of inode.attributes)
      if (KEPT_ATTRIBUTES.test(name)) records.push([`SCHILY.xattr.${name}`, value]);
  const plain = header({ path, target, type, size, inode });
  if (records.length === 0) return plain;
  const pax = Buffer.concat(records.map(([key, value]) => paxRecord(key, value)));
  const about = header({ path: "pax", target: "", type: "x", size: pax.length, inode });
  return Buffer.concat([about, pax, Buffer.alloc((BLOCK - (pax.length % BLOCK)) % BLOCK), plain]);
}

function header(of: { path: string; target: string; type: string; size: number; inode: Inode }): Buffer {
  const { path, target, type, size, inode } = of;
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, digits: number, largest: number): void =>
    void block.write(`${(value > largest ? 0 : value).toString(8).padStart(digits, "0")}\0`, at, "latin1");
  block.write(path.slice(0, 100), 0, "latin1");
  octal(inode.mode, 100, 7, LARGEST_OCTAL);
  octal(inode.uid, 108, 7, LARGEST_OCTAL);
  octal(inode.gid, 116, 7, LARGEST_OCTAL);
  octal(size, 124, 11, LARGEST_OCTAL_SIZE);
  octal(inode.mtime, 136, 11, LARGEST_OCTAL_SIZE);
  block.write(type, 156, "latin1");
  block.write(target.slice(0, 100), 157, "latin1");
  block.write("ustar\0", 257, "latin1");
  block.write("00", 263, "latin1");
  block.write(" ".repeat(8), 148, "latin1");
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

/** The record's length counts its own digits. */
function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`, "latin1"), value, Buffer.from("\n")]);
  let length = rest.length;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}
