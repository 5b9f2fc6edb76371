/**
 * Writer of the "newc" cpio format, the one the Linux kernel unpacks as its initial root.
 * Source: Documentation/driver-api/early-userspace/buffer-format.rst in the kernel tree.
 */

/** One entry of an archive. Parents must come before their children. */
export type CpioEntry =
  | { path: string; kind: "directory" }
  | { path: string; kind: "file"; mode: number; data: Uint8Array }
  | { path: string; kind: "character-device"; mode: number; major: number; minor: number };

const TYPE_BITS = { directory: 0o040000, file: 0o100000, "character-device": 0o020000 } as const;
const TRAILER = "TRAILER!!!";

/** Builds an archive, owned by root, times zero, so that equal input gives equal bytes. Throws on a path that is absolute or empty. */
export function cpio(entries: readonly CpioEntry[]): Buffer {
  const chunks: Uint8Array[] = [];
  let inode = 1;
  for (const entry of entries) {
    if (entry.path === "" || entry.path.startsWith("/"))
      throw new Error(`cpio: path "${entry.path}" is not relative`);
    const permissions = entry.kind === "directory" ? 0o755 : entry.mode;
    const { major, minor } = entry.kind === "character-device" ? entry : { major: 0, minor: 0 };
    const data = entry.kind === "file" ? entry.data : new Uint8Array();
    pushRecord(chunks, {
      inode,
      mode: TYPE_BITS[entry.kind] | permissions,
      path: entry.path,
      data,
      major,
      minor,
    });
    inode += 1;
  }
  pushRecord(chunks, { inode: 0, mode: 0, path: TRAILER, data: new Uint8Array(), major: 0, minor: 0 });
  return Buffer.concat(chunks);
}

interface CpioRecord {
  inode: number;
  mode: number;
  path: string;
  data: Uint8Array;
  major: number;
  minor: number;
}

function pushRecord(chunks: Uint8Array[], record: CpioRecord): void {
  const name = Buffer.from(`${record.path}\0`);
  // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
  const fields = [
    record.inode,
    record.mode,
    0,
    0,
    1,
    0,
    record.data.length,
    0,
    0,
    record.major,
    record.minor,
    name.length,
    0,
  ];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`);
  chunks.push(header, name, padding(header.length + name.length), record.data, padding(record.data.length));
}

/** Zero bytes up to the next multiple of four. */
function padding(length: number): Uint8Array {
  return new Uint8Array((4 - (length % 4)) % 4);
}
