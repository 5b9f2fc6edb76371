/** One disk out of a chain of layers. */
import { open, rm } from "node:fs/promises";
import { CACHE_ROOM_MIB } from "../../../api/machine.ts";
import { type DiskWriting, RunnerError } from "../../runner.ts";
import type { Context } from "../context.ts";
import { type JailedTool, runJailed } from "../jailed-tool.ts";
import { checkQcow2, type Qcow2Verdict, readQcow2Header } from "../qcow2.ts";
import { withinRoom } from "./within-room.ts";

export const QEMU_IMG = { command: "/usr/bin/qemu-img", debianPackage: "qemu-utils" };
const TIMEOUT_MS = 300_000;
const MIB = 1024 * 1024;
/** qcow2's own tables, beyond the disk's size. */
const DISK_OVERHEAD_MIB = 64;

/** On failure there is no `target`. */
export async function flattenDisk(
  context: Context,
  chain: { disks: readonly string[]; target: string; diskMib: number; format: "qcow2" | "raw" },
  { room, signal }: DiskWriting,
): Promise<void> {
  const { disks, target, diskMib, format } = chain;
  for (const disk of disks) await checkLayer(disk, diskMib * MIB);
  const source = (show: (path: string) => string) => chainOf(disks.map(show));
  const bytes = await measureImage(context, { reads: disks, source }, signal);
  // In a jail a file can only be written that is there already.
  const made = await open(target, "wx", 0o600);
  await made.close();
  const tool: JailedTool = {
    ...QEMU_IMG,
    args: (show) => ["convert", "-O", format, describeImage(source(show)), show(target)],
    reads: disks,
    writes: [target],
    fileBytes: (diskMib + CACHE_ROOM_MIB + DISK_OVERHEAD_MIB) * MIB,
  };
  try {
    await withinRoom({ target, bytes, room, signal }, (stop) =>
      runJailed(context, tool, { timeoutMs: TIMEOUT_MS, signal: stop }),
    );
  } catch (error) {
    await rm(target, { force: true });
    throw error;
  }
}

/** What QEMU's tools read: a description that names host files as the tool's jail shows them. */
export interface ImageSource {
  reads: readonly string[];
  source(show: (path: string) => string): object | null;
}

/**
 * Bytes that a source's content takes at most. Every reference to a cluster counts, so that a small file whose tables name one cluster many
 * times is as large as what it opens to. Of a raw disk `qemu-img` would tell the full size: it is written with holes, as qcow2 is.
 */
export async function measureImage(
  context: Context,
  { reads, source }: ImageSource,
  signal?: AbortSignal,
): Promise<number> {
  const tool: JailedTool = {
    ...QEMU_IMG,
    args: (show) => ["measure", "--output=json", "-O", "qcow2", describeImage(source(show))],
    reads,
  };
  const text = await runJailed(context, tool, { timeoutMs: TIMEOUT_MS, signal });
  const { required } = JSON.parse(text) as { required?: unknown };
  if (typeof required === "number" && Number.isSafeInteger(required)) return required;
  throw new RunnerError(
    "corrupt-snapshot",
    `qemu-img measure printed an unexpected answer: ${text.slice(0, 200)}`,
  );
}

export function describeImage(source: object | null): string {
  return `json:${JSON.stringify(source)}`;
}

/** A chain's description for QEMU's tools: backing is given here, none is taken from a header. */
export function chainOf(files: readonly string[]): object | null {
  return files.reduce<object | null>(
    (backing, filename) => ({
      driver: "qcow2",
      file: { driver: "file", filename },
      ...(backing === null ? {} : { backing }),
    }),
    null,
  );
}

/** Whether a disk stands alone and has `bytes`, with room for cached folders beyond them or not. */
export function checkDisk(header: Buffer, bytes: number): Qcow2Verdict {
  const verdict = checkQcow2(header);
  if (!verdict.ok || [bytes, bytes + CACHE_ROOM_MIB * MIB].includes(verdict.virtualSize)) return verdict;
  return { ok: false, reason: `is a disk of ${verdict.virtualSize} bytes, not ${bytes}` };
}

/** What `checkDisk` finds wrong, in words that follow the disk's name. */
export function diskFault(header: Buffer, bytes: number): string | null {
  const verdict = checkDisk(header, bytes);
  return verdict.ok ? null : verdict.reason;
}

export async function checkDiskFile(path: string, bytes: number): Promise<Qcow2Verdict> {
  const handle = await open(path, "r");
  try {
    return checkDisk(await readQcow2Header(handle), bytes);
  } finally {
    await handle.close();
  }
}

export async function checkLayer(path: string, bytes: number): Promise<void> {
  const verdict = await checkDiskFile(path, bytes);
  if (!verdict.ok) throw new RunnerError("corrupt-snapshot", `${path} ${verdict.reason}`);
}
