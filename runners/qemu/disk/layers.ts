/**
 * Files that make up a disk as it was cut. QEMU keeps a descriptor that it once opened for writing. So what others are thawed from is a copy
 * of an overlay that was cut, made by this process and never shown to the machine itself.
 */
import { constants } from "node:fs";
import { chmod, chown, copyFile, link, mkdir, open, rename, rm, stat, statfs } from "node:fs/promises";
import { basename, join } from "node:path";
import { type MachineRecord, RunnerError } from "../../runner.ts";
import { checkQcow2, QCOW2_HEADER_BYTES, readQcow2Header } from "../qcow2.ts";
import { type ChainRecord, diskBytesOf, LAYERS_DIR, overlayPath } from "./chain.ts";

const MIB = 1024 * 1024;
/** qcow2's own tables, beyond the disk's size. */
const OVERHEAD_BYTES = 64 * MIB;
/** Fields of a qcow2 header: u64 and u32. */
const BACKING_OFFSET_AT = 8;
const BACKING_LENGTH_AT = 16;

/** Hard links (copies where the file system has none) of read-only files under new names. */
export async function linkLayers(files: readonly string[], name: (index: number) => string): Promise<void> {
  for (const [index, file] of files.entries()) {
    const target = name(index);
    await link(file, target).catch(async (error: NodeJS.ErrnoException) => {
      if (!["EXDEV", "EPERM", "EMLINK", "ENOTSUP"].includes(error.code ?? "")) throw error;
      await copyFile(file, target, constants.COPYFILE_FICLONE);
      await chmod(target, 0o444);
    });
  }
}

/** Path of the copy of an overlay that was cut. */
export function ownCopy(record: MachineRecord, index: number): string {
  return join(record.stateDir, LAYERS_DIR, `own-${index}.qcow2`);
}

/**
 * The disk as it was cut below overlay `top`, lowest first, each file immutable. Those from `chain.ofSnapshot` on are not the snapshot's.
 * Copies that exist are used again, so that a cut whose copies failed is made up for by the next.
 */
export async function frozenLayers(
  record: MachineRecord,
  chain: ChainRecord,
  top: number,
): Promise<string[]> {
  await mkdir(join(record.stateDir, LAYERS_DIR), { recursive: true, mode: 0o700 });
  const layers = [...chain.disks];
  for (let index = chain.firstOwn; index < top; index++) {
    const copy = ownCopy(record, index);
    if ((await stat(copy).catch(() => null)) === null)
      await copyFrozen(record, index, { target: copy, bytes: diskBytesOf(record, chain) });
    layers.push(copy);
  }
  return layers;
}

/** Refuses with `no-space` a cut whose copies the disk has no room for. */
export async function needRoomForLayers(
  record: MachineRecord,
  chain: ChainRecord,
  top: number,
): Promise<void> {
  let bytes = 0;
  for (let index = chain.firstOwn; index <= top; index++) {
    if (await stat(ownCopy(record, index)).catch(() => null)) continue;
    bytes += (await stat(overlayPath(record, index))).blocks * 512;
  }
  const { bavail, bsize } = await statfs(record.stateDir);
  if (bavail * bsize >= bytes) return;
  throw new RunnerError(
    "no-space",
    `${record.stateDir} has ${Math.floor((bavail * bsize) / MIB)} MiB free, a copy of the machine's disk needs ${Math.ceil(bytes / MIB)} MiB`,
    { hint: "free disk space, or set THAW_HOME to a folder on another disk" },
  );
}

/** The overlay lies in a folder that the machine may write to: no links are followed, and a disk is looked at before it is used. */
async function copyFrozen(
  record: MachineRecord,
  index: number,
  { target, bytes: limit }: { target: string; bytes: number },
): Promise<void> {
  const source = overlayPath(record, index);
  const draft = `${target}.new`;
  await rm(draft, { force: true });
  const handle = await open(source, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const { size } = await handle.stat();
    const header = await readQcow2Header(handle);
    // Flattened, QEMU leaves behind where the name of a backing file was; the copy does without.
    if (header.length === QCOW2_HEADER_BYTES && header.readUInt32BE(BACKING_LENGTH_AT) === 0)
      header.fill(0, BACKING_OFFSET_AT, BACKING_LENGTH_AT);
    const verdict = checkQcow2(header);
    if (!verdict.ok || verdict.virtualSize !== limit || size > limit + OVERHEAD_BYTES) {
      const why = verdict.ok ? "does not have its size" : verdict.reason;
      throw new RunnerError("start-failed", `the disk of machine ${record.id}, ${basename(source)}, ${why}`);
    }
    await copyFile(`/proc/self/fd/${handle.fd}`, draft, constants.COPYFILE_FICLONE);
    await seal(draft);
    await rename(draft, target);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
}

async function seal(draft: string): Promise<void> {
  await chmod(draft, 0o600);
  const copy = await open(draft, "r+");
  try {
    await copy.write(Buffer.alloc(BACKING_LENGTH_AT - BACKING_OFFSET_AT), 0, null, BACKING_OFFSET_AT);
  } finally {
    await copy.close();
  }
  // A copy takes over its source's owner, which is the machine's uid.
  if (process.getuid?.() === 0) await chown(draft, 0, 0);
  await chmod(draft, 0o444);
}
