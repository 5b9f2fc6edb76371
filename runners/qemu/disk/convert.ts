/** One disk out of a chain of layers. */
import { open, rm } from "node:fs/promises";
import { CACHE_ROOM_MIB } from "../../../api/machine.ts";
import { type DiskWriting, RunnerError } from "../../runner.ts";
import type { Context } from "../context.ts";
import { runJailed } from "../jailed-tool.ts";
import { checkQcow2, QCOW2_HEADER_BYTES } from "../qcow2.ts";
import { withinRoom } from "./within-room.ts";

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
  const bytes = await measure(context, disks, signal);
  // In a jail a file can only be written that is there already.
  const made = await open(target, "wx", 0o600);
  await made.close();
  const tool = {
    command: "/usr/bin/qemu-img",
    args: (show: (path: string) => string) => [
      "convert",
      "-O",
      format,
      describeChain(disks.map(show)),
      show(target),
    ],
    reads: disks,
    writes: [target],
    fileBytes: (diskMib + CACHE_ROOM_MIB + DISK_OVERHEAD_MIB) * MIB,
    debianPackage: "qemu-utils",
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

/**
 * Bytes that the chain's content takes at most. Every reference to a cluster counts, so that a small file whose tables name one cluster many
 * times is as large as what it opens to. Of a raw disk `qemu-img` would tell the full size: it is written with holes, as qcow2 is.
 */
async function measure(context: Context, disks: readonly string[], signal?: AbortSignal): Promise<number> {
  const tool = {
    command: "/usr/bin/qemu-img",
    args: (show: (path: string) => string) => [
      ...["measure", "--output=json", "-O", "qcow2"],
      describeChain(disks.map(show)),
    ],
    reads: disks,
    debianPackage: "qemu-utils",
  };
  const text = await runJailed(context, tool, { timeoutMs: TIMEOUT_MS, signal });
  const { required } = JSON.parse(text) as { required?: unknown };
  if (typeof required === "number" && Number.isSafeInteger(required)) return required;
  throw new RunnerError("corrupt-snapshot", `qemu-img measure says ${text.slice(0, 200)}`);
}

/** Backing given here, none taken from a header. */
function describeChain(files: readonly string[]): string {
  return `json:${JSON.stringify(chainOf(files))}`;
}

/** A chain's description for QEMU's tools. */
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

/**
 * What is wrong with a disk that is to stand alone and have `bytes`, with room for cached folders beyond them or not, in words that follow its
 * name.
 */
export function diskFault(header: Buffer, bytes: number): string | null {
  const verdict = checkQcow2(header);
  if (!verdict.ok) return verdict.reason;
  const sizes = [bytes, bytes + CACHE_ROOM_MIB * MIB];
  return sizes.includes(verdict.virtualSize)
    ? null
    : `is a disk of ${verdict.virtualSize} bytes, not ${bytes}`;
}

export async function checkLayer(path: string, bytes: number): Promise<void> {
  const handle = await open(path, "r");
  try {
    const { buffer, bytesRead } = await handle.read(
      Buffer.alloc(QCOW2_HEADER_BYTES),
      0,
      QCOW2_HEADER_BYTES,
      0,
    );
    const why = diskFault(buffer.subarray(0, bytesRead), bytes);
    if (why !== null) throw new RunnerError("corrupt-snapshot", `${path} ${why}`);
  } finally {
    await handle.close();
  }
}
