/** Root images: EROFS file systems that a sandbox reads by itself. */

/** EROFS_SUPER_OFFSET and EROFS_SUPER_MAGIC_V1 of Linux's fs/erofs/erofs_fs.h. */
const SUPERBLOCK_AT = 1024;
const MAGIC = 0xe0f5e1e2;

/** What keeps a file from being a root image; null when nothing does. @param start its first 4 KiB */
export function imageFault(start: Buffer): string | null {
  const isImage = start.length >= SUPERBLOCK_AT + 4 && start.readUInt32LE(SUPERBLOCK_AT) === MAGIC;
  return isImage ? null : "is not an EROFS image";
}

/** mkfs.erofs's arguments. gVisor maps files as they lie in the image, so no data lies beside an inode. */
export function mkfsArgv({ tree, image }: { tree: string; image: string }): string[] {
  return ["-d0", "--quiet", "-E", "noinline_data", image, tree];
}
