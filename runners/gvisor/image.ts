/** Root images: EROFS file systems that a sandbox reads by itself, with the agent inside. */
import { createHash } from "node:crypto";
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { RootDisk } from "../runner.ts";
import { AGENT_IN_IMAGE } from "./bundle.ts";
import { corrupt } from "./checkpoint.ts";

/** EROFS_SUPER_OFFSET and EROFS_SUPER_MAGIC_V1 of Linux's fs/erofs/erofs_fs.h. */
const SUPERBLOCK_AT = 1024;
const MAGIC = 0xe0f5e1e2;

/** What keeps a file from being a root image; null when nothing does. @param start its first 4 KiB */
export function imageFault(start: Buffer): string | null {
  const isImage = start.length >= SUPERBLOCK_AT + 4 && start.readUInt32LE(SUPERBLOCK_AT) === MAGIC;
  return isImage ? null : "is not an EROFS image";
}

/** Throws `corrupt-snapshot`. */
export async function checkImage(path: string): Promise<void> {
  const file = await open(path, "r").catch(() => {
    throw corrupt(path, "is missing");
  });
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
    const fault = imageFault(buffer.subarray(0, bytesRead));
    if (fault !== null) throw corrupt(path, fault);
  } finally {
    await file.close();
  }
}

/** mkfs.erofs's arguments. gVisor maps files as they lie in the image, so no data lies beside an inode. */
export function mkfsArgv({ tree, image }: { tree: string; image: string }): string[] {
  return ["-d0", "--quiet", "-E", "noinline_data", image, tree];
}

/** Whatever a tree has at the agent's place is removed before, so that nothing is written through a link. */
const PUT_AGENT = 'rm -rf -- "$2" && cp -- "$1" "$2" && chmod 555 -- "$2" && shift 2 && exec "$@"';

export function rootDisk(agentPath: string): RootDisk {
  return {
    debianPackage: "erofs-utils",
    key: async () =>
      `erofs ${createHash("sha256")
        .update(await readFile(agentPath))
        .digest("hex")}`,
    argv({ tree, image }) {
      const mkfs = ["mkfs.erofs", ...mkfsArgv({ tree, image })];
      return ["sh", "-c", PUT_AGENT, "sh", agentPath, join(tree, AGENT_IN_IMAGE), ...mkfs];
    },
  };
}
