/**
 * The disk of a thawed machine: read-only layers of its snapshot, and overlays of its own, of which only the top is written to. A *cut*
 * makes the top read-only and puts a fresh overlay above it, so that the disk of one instant can be copied while the machine goes on.
 *
 * QEMU keeps a descriptor that it once opened for writing. So what others are thawed from is a copy of an overlay that was cut, made by
 * this process and never shown to the machine itself.
 */
import { constants } from "node:fs";
import {
  chmod,
  chown,
  copyFile,
  link,
  mkdir,
  open,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import { type MachineRecord, RunnerError } from "../runner.ts";
import { BASE_NODE, overlayNode } from "./argv.ts";
import { checkQcow2, emptyQcow2, QCOW2_HEADER_BYTES } from "./qcow2.ts";
import { asObject, type QmpClient } from "./qmp.ts";

/** Folder in a machine's state folder that its jail may write to. */
export const DISK_DIR = "disk";
/** Beside it: layers below the machine's own, and copies of its own that were cut. Not visible to the machine. */
export const LAYERS_DIR = "layers";
export const CHAIN_FILE = "chain.json";
/** Deeper chains are flattened. */
const MAX_LAYERS = 8;
const MIB = 1024 * 1024;
/** qcow2's own tables, beyond the disk's size. */
const OVERHEAD_BYTES = 64 * MIB;
/** Fields of a qcow2 header: u64 and u32. */
const BACKING_OFFSET_AT = 8;
const BACKING_LENGTH_AT = 16;
const FLATTEN_TIMEOUT_MS = 600_000;

const chainRecord = z.strictObject({
  /** Memory file of the snapshot it was thawed from, and the pages over it when it was thawed from a difference. */
  memory: z.string(),
  pages: z.string().nullable(),
  /** Read-only layers it was thawed from, lowest first. */
  disks: z.array(z.string()),
  /** How many of them are the snapshot's. */
  ofSnapshot: z.int(),
  /** Own overlays below this one hold nothing that it does not. */
  firstOwn: z.int(),
  /** Its device state came without a configuration section, so it sends none either. */
  unconfigured: z.boolean().default(false),
  /** Folders as QEMU sees them. */
  diskDirInside: z.string(),
  runtimeDirInside: z.string(),
});
export type ChainRecord = z.infer<typeof chainRecord>;

/** What a thawed machine has in its state folder, beside its console's log. */
export function machineFiles(stateDir: string): string[] {
  return [DISK_DIR, LAYERS_DIR, CHAIN_FILE].map((name) => join(stateDir, name));
}

/** Kept beside the machine, so that a later process can cut its disk too. */
export async function writeChain(stateDir: string, chain: ChainRecord): Promise<void> {
  const path = join(stateDir, CHAIN_FILE);
  await writeFile(`${path}.new`, JSON.stringify(chain));
  await rename(`${path}.new`, path);
}

/** Rejects with `unsupported` for a machine that was booted, or thawed by a version that did not keep it. */
export async function readChain(record: MachineRecord): Promise<ChainRecord> {
  const text = await readFile(join(record.stateDir, CHAIN_FILE), "utf8").catch(() => null);
  const parsed = text === null ? undefined : chainRecord.safeParse(JSON.parse(text));
  if (parsed?.success) return parsed.data;
  throw new RunnerError("unsupported", `machine ${record.id} was not thawed by this version of the runner`);
}

export function overlayName(index: number): string {
  return index === 0 ? "overlay.qcow2" : `overlay-${index}.qcow2`;
}

/** A fresh overlay, prepared: `cut` switches to it within a millisecond. */
export interface PreparedCut {
  /** With the machine stopped. After it, the overlays up to this one are as they were. */
  cut(): Promise<void>;
  /** Instead of `cut`, or after one that failed. */
  abandon(): Promise<void>;
  /** Files that make up the disk as it was cut, lowest first, each immutable. Those from `ofSnapshot` on are not the snapshot's. */
  layers(): Promise<string[]>;
}

export async function prepareCut(
  qmp: QmpClient,
  record: MachineRecord,
  chain: ChainRecord,
): Promise<PreparedCut> {
  const current = await currentOverlay(qmp);
  const next = current + 1;
  const path = join(record.stateDir, DISK_DIR, overlayName(next));
  const abandon = async (): Promise<void> => {
    await qmp.execute("blockdev-del", { "node-name": `d${next}` }).catch(() => {});
    await rm(path, { force: true });
  };
  // Left by one that was not finished.
  await abandon();
  const handle = await open(path, "wx", 0o600);
  try {
    await handle.writeFile(emptyQcow2(record.resources.diskMib * MIB));
    if (process.getuid?.() === 0) await handle.chown(record.uid, record.uid);
  } finally {
    await handle.close();
  }
  try {
    await qmp.execute("blockdev-add", overlayNode(next, `${chain.diskDirInside}/${overlayName(next)}`));
  } catch (error) {
    await abandon();
    throw error;
  }
  return {
    cut: async () => {
      await qmp.execute("blockdev-snapshot", { node: `d${current}`, overlay: `d${next}` });
    },
    abandon,
    layers: () => frozenLayers(record, chain, current),
  };
}

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

/**
 * When the chain has grown deep: has QEMU copy all between the snapshot's lowest disk and the top into the top. The machine goes on
 * meanwhile. What was cut before stays whole for those who were thawed from it.
 */
export async function flattenWhenDeep(qmp: QmpClient, record: MachineRecord): Promise<void> {
  const chain = await readChain(record);
  const current = await currentOverlay(qmp);
  if (chain.disks.length - 1 + current - chain.firstOwn <= MAX_LAYERS) return;
  const job = `flatten-${current}`;
  const done = qmp.waitEvent(
    ({ name, data }) =>
      (name === "BLOCK_JOB_COMPLETED" || name === "BLOCK_JOB_CANCELLED") && data.device === job
        ? { whole: name === "BLOCK_JOB_COMPLETED" && data.error === undefined }
        : undefined,
    { what: "the flattened disk", timeoutMs: FLATTEN_TIMEOUT_MS },
  );
  done.catch(() => {});
  // Without an empty name QEMU writes one of its own making into the overlay's header.
  const names = { "base-node": BASE_NODE, "backing-file": "" };
  await qmp.execute("block-stream", { "job-id": job, device: `d${current}`, ...names });
  if (!(await done).whole) return;
  await writeChain(record.stateDir, {
    ...chain,
    disks: chain.disks.slice(0, 1),
    ofSnapshot: 1,
    firstOwn: current,
  });
  for (let index = current - 1; index >= chain.firstOwn; index--) {
    await qmp.execute("blockdev-del", { "node-name": `d${index}` }).catch(() => {});
    await rm(join(record.stateDir, DISK_DIR, overlayName(index)), { force: true });
    await rm(ownCopy(record, index), { force: true });
  }
}

/** Which overlay the machine writes to now. QEMU knows, whatever became of the process that cut last. */
async function currentOverlay(qmp: QmpClient): Promise<number> {
  const devices = await qmp.execute("query-block");
  for (const device of Array.isArray(devices) ? devices : []) {
    const name = asObject(asObject(device).inserted)["node-name"];
    const index = /^d(\d{1,6})$/.exec(String(name))?.[1];
    if (index !== undefined) return Number(index);
  }
  throw new RunnerError("start-failed", "QEMU does not say what the machine's disk is");
}

function ownCopy(record: MachineRecord, index: number): string {
  return join(record.stateDir, LAYERS_DIR, `own-${index}.qcow2`);
}

async function frozenLayers(record: MachineRecord, chain: ChainRecord, last: number): Promise<string[]> {
  await mkdir(join(record.stateDir, LAYERS_DIR), { recursive: true, mode: 0o700 });
  const layers = [...chain.disks];
  for (let index = chain.firstOwn; index <= last; index++) {
    const copy = ownCopy(record, index);
    if ((await stat(copy).catch(() => null)) === null) await copyFrozen(record, index, copy);
    layers.push(copy);
  }
  return layers;
}

/** The overlay lies in a folder that the machine may write to: no links are followed, and a disk is looked at before it is used. */
async function copyFrozen(record: MachineRecord, index: number, target: string): Promise<void> {
  const limit = record.resources.diskMib * MIB;
  const source = join(record.stateDir, DISK_DIR, overlayName(index));
  const handle = await open(source, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const { size } = await handle.stat();
    const { buffer, bytesRead } = await handle.read(
      Buffer.alloc(QCOW2_HEADER_BYTES),
      0,
      QCOW2_HEADER_BYTES,
      0,
    );
    const header = buffer.subarray(0, bytesRead);
    // Flattened, QEMU leaves behind where the name of a backing file was; the copy does without.
    if (bytesRead === QCOW2_HEADER_BYTES && header.readUInt32BE(BACKING_LENGTH_AT) === 0)
      header.fill(0, BACKING_OFFSET_AT, BACKING_LENGTH_AT);
    const verdict = checkQcow2(header);
    if (!verdict.ok || verdict.virtualSize !== limit || size > limit + OVERHEAD_BYTES) {
      const why = verdict.ok ? "does not have its size" : verdict.reason;
      throw new RunnerError("start-failed", `the disk of machine ${record.id}, ${basename(source)}, ${why}`);
    }
    await copyFile(`/proc/self/fd/${handle.fd}`, `${target}.new`, constants.COPYFILE_FICLONE);
  } finally {
    await handle.close();
  }
  await chmod(`${target}.new`, 0o600);
  const copy = await open(`${target}.new`, "r+");
  await copy.write(Buffer.alloc(BACKING_LENGTH_AT - BACKING_OFFSET_AT), 0, null, BACKING_OFFSET_AT);
  await copy.close();
  // A copy takes over its source's owner, which is the machine's uid.
  if (process.getuid?.() === 0) await chown(`${target}.new`, 0, 0);
  await chmod(`${target}.new`, 0o444);
  await rename(`${target}.new`, target);
}
