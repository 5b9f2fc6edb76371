/**
 * The disk of a thawed machine: read-only layers of its snapshot, and overlays of its own. The machine writes to the top overlay only.
 * `chain.json` in the machine's state folder describes what lies below the overlays; QEMU says which overlay is the top.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeWhole } from "../../../durable/write.ts";
import { type MachineRecord, RunnerError } from "../../runner.ts";
import { asObject, type QmpClient } from "../qmp.ts";

const MIB = 1024 * 1024;

/** Folder in a machine's state folder that its jail may write to. */
export const DISK_DIR = "disk";
/** Beside it: layers below the machine's own, and copies of its own that were cut. Not visible to the machine. */
export const LAYERS_DIR = "layers";
export const CHAIN_FILE = "chain.json";
/** An unfinished cut; see cut.ts. */
export const CUT_FILE = "cut.json";

const chainRecord = z.object({
  /** Memory file of the snapshot it was thawed from, and the pages over it when it was thawed from a difference. */
  memory: z.string(),
  pages: z.string().nullable(),
  /** Read-only layers it was thawed from, lowest first. */
  disks: z.array(z.string()),
  /** How many of them are the snapshot's. */
  ofSnapshot: z.int(),
  /** Own overlays below this one hold nothing that it does not. */
  firstOwn: z.int(),
  /** Virtual size of the disk. Absent in records of earlier versions: that of its resources. */
  diskBytes: z.int().optional(),
  /** Folders as QEMU sees them. */
  diskDirInside: z.string(),
  runtimeDirInside: z.string(),
});
export type ChainRecord = z.infer<typeof chainRecord>;

/** What a thawed machine has in its state folder, beside its console's log. */
export function machineFiles(stateDir: string): string[] {
  return [DISK_DIR, LAYERS_DIR, CHAIN_FILE, CUT_FILE].map((name) => join(stateDir, name));
}

/** Kept beside the machine, so that a later process can cut its disk too. */
export async function writeChain(stateDir: string, chain: ChainRecord): Promise<void> {
  await writeWhole(join(stateDir, CHAIN_FILE), JSON.stringify(chain), { survives: "daemon" });
}

/** Rejects with `unsupported` for a machine that was booted, or thawed by a version that did not keep it. */
export async function readChain(record: MachineRecord): Promise<ChainRecord> {
  const text = await readFile(join(record.stateDir, CHAIN_FILE), "utf8").catch(() => null);
  const parsed = text === null ? undefined : chainRecord.safeParse(JSON.parse(text));
  if (parsed?.success) return parsed.data;
  throw new RunnerError("unsupported", `machine ${record.id} was not thawed by this version of the runner`);
}

/** Virtual size of a machine's disk. */
export function diskBytesOf(record: MachineRecord, { diskBytes }: Pick<ChainRecord, "diskBytes">): number {
  return diskBytes ?? record.resources.diskMib * MIB;
}

export function overlayName(index: number): string {
  return index === 0 ? "overlay.qcow2" : `overlay-${index}.qcow2`;
}

export function overlayPath(record: MachineRecord, index: number): string {
  return join(record.stateDir, DISK_DIR, overlayName(index));
}

/** Name of an overlay's node in QEMU. */
export function overlayNodeName(index: number): string {
  return `d${index}`;
}

/** Index of the overlay that the machine writes to now. Only QEMU knows it for certain, whatever became of the process that cut last. */
export async function topOverlay(qmp: QmpClient): Promise<number> {
  const devices = await qmp.execute("query-block");
  for (const device of Array.isArray(devices) ? devices : []) {
    const name = asObject(asObject(device).inserted)["node-name"];
    const index = /^d(\d{1,6})$/.exec(String(name))?.[1];
    if (index !== undefined) return Number(index);
  }
  throw new RunnerError("start-failed", "QEMU did not report the machine's disk");
}

/** Names of all nodes that QEMU has open, in a chain or not. */
export async function openNodes(qmp: QmpClient): Promise<Set<string>> {
  const nodes = await qmp.execute("query-named-block-nodes", { flat: true });
  if (!Array.isArray(nodes)) throw new RunnerError("start-failed", "QEMU did not report the open disks");
  return new Set(nodes.map((node) => String(asObject(node)["node-name"])));
}
