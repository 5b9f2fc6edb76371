/**
 * A new snapshot of a machine that goes on running. Its device state is saved by a second process that never runs and whose memory is the
 * new snapshot's file. What that process is given is, where the host can, the machine's difference: the memory file is then made of the
 * snapshot's and the pages, and no memory is sent. Else it is a migration: live under KVM, of a stopped machine under emulation, where
 * QEMU before 9.0 loses track of what the guest writes meanwhile.
 */
import { type FileHandle, mkdir, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { paced } from "../../../host/pace.ts";
import { runTool } from "../../host/tool.ts";
import { type LiveFreeze, type LiveFreezeSpec, RunnerError } from "../../runner.ts";
import { INHERITED_FD } from "../argv.ts";
import type { Context } from "../context.ts";
import { diskBytesOf, readChain } from "../disk/chain.ts";
import { Cut } from "../disk/cut.ts";
import { linkLayers } from "../disk/layers.ts";
import type { LiveSource } from "../machine.ts";
import { makeMemoryFile } from "../machine-files.ts";
import { whyNoDifference } from "../running-build.ts";
import { fromSystemError } from "../system-error.ts";
import { takeDifference } from "./difference.ts";
import { capabilities, migrate, waitMigration } from "./migrate.ts";
import { offeredSocket, offerSocket, type Receiver, startReceiver } from "./receiver.ts";
import { freezeToFiles } from "./save.ts";

const MIB = 1024 * 1024;
const DEADLINE_MS = 20_000;
const MERGE_TIMEOUT_MS = 180_000;
/** What a process needs beside its machine's memory. */
const PROCESS_BYTES = 64 * MIB;

/** On rejection the machine goes on as before; what is left in `spec.dir` is the caller's to remove. */
export async function freezeLive(
  context: Context,
  source: LiveSource,
  spec: LiveFreezeSpec,
  signal?: AbortSignal,
): Promise<LiveFreeze> {
  const started = performance.now();
  const { memoryMib } = source.record.resources;
  await needMemory(memoryMib * MIB + PROCESS_BYTES);
  const memoryFile = join(spec.dir, "memory");
  const freeze: Freeze = { context, source, spec, memoryFile, signal };
  try {
    await makeMemoryFile(memoryFile, memoryMib * MIB);
    // The second process saves it, which is started from this host's QEMU of now.
    const [{ build }, verdict, reason] = await Promise.all([
      context.facts(),
      context.difference(),
      whyNoDifference(context, source.qmp),
    ]);
    const direct = verdict.state === "works" && reason === null;
    const done = await (direct ? fromDifference(freeze) : migrated(freeze));
    return { ...done, build, totalMs: performance.now() - started, imported: source.record.imported };
  } catch (error) {
    await rm(memoryFile, { force: true });
    signal?.throwIfAborted();
    throw fromSystemError(error);
  }
}

type Frozen = Pick<LiveFreeze, "layers" | "pauseMs" | "converged">;

interface Freeze {
  context: Context;
  source: LiveSource;
  spec: LiveFreezeSpec;
  memoryFile: string;
  signal: AbortSignal | undefined;
}

async function fromDifference(freeze: Freeze): Promise<Frozen> {
  const { context, source, spec, memoryFile, signal } = freeze;
  const chain = await readChain(source.record);
  const taken = join(spec.stateDir, "difference");
  await mkdir(taken);
  let receiver: Receiver | undefined;
  let devices: FileHandle | undefined;
  try {
    const { pauseMs, layers } = await takeDifference(context, source, taken, { signal });
    const merging = runTool(context.hotMemory.sealPath, [chain.memory, join(taken, "pages"), memoryFile], {
      timeoutMs: MERGE_TIMEOUT_MS,
      signal,
      debianPackage: "thaw",
    });
    const disks = [...chain.disks.slice(0, chain.ofSnapshot), ...layers.map((name) => join(taken, name))];
    await Promise.all([merging, linkLayers(disks, (index) => join(spec.dir, layerName(index)))]);
    devices = await open(join(taken, "devices"), "r");
    receiver = await startReceiver(context, {
      ...{ source: source.record, spec, memoryFile, devices, signal },
      diskBytes: diskBytesOf(source.record, chain),
    });
    const loaded = waitMigration(receiver.qmp);
    loaded.catch(() => {});
    await receiver.qmp.execute("migrate-set-capabilities", {
      capabilities: capabilities("events", "x-ignore-shared"),
    });
    await receiver.qmp.execute("migrate-incoming", { uri: `fd:${INHERITED_FD}` });
    await loaded;
    await freezeToFiles({ ...receiver, dir: spec.dir, memoryFile });
    return { layers: disks.slice(1).map((_, index) => layerName(index + 1)), pauseMs, converged: true };
  } finally {
    await devices?.close();
    await receiver?.end();
    await rm(taken, { recursive: true, force: true });
  }
}

async function migrated(freeze: Freeze): Promise<Frozen> {
  const { context, source, spec, memoryFile, signal } = freeze;
  const { record, qmp } = source;
  const chain = await readChain(record);
  const diskBytes = diskBytesOf(record, chain);
  let receiver: Receiver | undefined;
  try {
    // A shared mapping of a file that the disk has no room for ends a process with SIGBUS, so the room is taken before.
    await runTool("fallocate", ["--length", String(record.resources.memoryMib * MIB), memoryFile], {
      timeoutMs: 60_000,
      signal,
      debianPackage: "util-linux",
      code: "no-space",
    });
    receiver = await startReceiver(context, { source: record, spec, memoryFile, diskBytes, signal });
    const uri = await offerSocket(receiver, record, chain.runtimeDirInside);
    await using cut = await Cut.prepare(source, "migration");
    signal?.throwIfAborted();
    const deadlineMs = record.needs.accelerator === "kvm" ? paced(spec.deadlineMs ?? DEADLINE_MS) : 0;
    const sent = await migrate({ source: qmp, uri, receiver: receiver.qmp, cut, deadlineMs, signal });
    const [disks] = await Promise.all([
      cut.layers(),
      freezeToFiles({ ...receiver, dir: spec.dir, memoryFile }),
    ]);
    await linkLayers(disks, (index) => join(spec.dir, layerName(index)));
    return { layers: disks.slice(1).map((_, index) => layerName(index + 1)), ...sent };
  } finally {
    await rm(offeredSocket(record), { force: true });
    await receiver?.end();
  }
}

/** Name, in a snapshot's folder, of the `index`th disk from below. */
export function layerName(index: number): string {
  return index === 0 ? "disk.qcow2" : `layer-${index}.qcow2`;
}

/** The second process holds the machine's whole memory until it is on disk. */
async function needMemory(bytes: number): Promise<void> {
  const text = await readFile("/proc/meminfo", "utf8");
  const available = 1024 * Number(/^MemAvailable:\s+(\d+) kB/m.exec(text)?.[1] ?? Number.POSITIVE_INFINITY);
  if (available >= bytes) return;
  throw new RunnerError(
    "no-memory",
    `${Math.floor(available / MIB)} MiB of memory are available, a live freeze needs ${Math.ceil(bytes / MIB)} MiB`,
    { hint: "thaw ls; thaw rm SANDBOX" },
  );
}
