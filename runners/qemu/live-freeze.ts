/**
 * A new snapshot of a machine that goes on running. Its device state is saved by a second process that never runs and whose memory is the
 * new snapshot's file. What that process is given is, where the host can, the machine's difference: the memory file is then made of the
 * snapshot's and the pages, and no memory is sent. Else it is a migration: live under KVM, of a stopped machine under emulation, where
 * QEMU before 9.0 loses track of what the guest writes meanwhile.
 */
import { chmod, type FileHandle, link, lstat, mkdir, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type LiveFreeze, type LiveFreezeSpec, type MachineRecord, RunnerError } from "../runner.ts";
import { INHERITED_FD, receiveArgv } from "./argv.ts";
import { type Context, confine, runtimeDirOf } from "./context.ts";
import { deadlineSignal } from "./deadline.ts";
import { takeDifference } from "./difference.ts";
import { linkLayers, type PreparedCut, prepareCut, readChain } from "./disk-chain.ts";
import { capabilities, freezeToFiles, waitMigration } from "./freeze.ts";
import { type Launched, launch } from "./launch.ts";
import type { LiveSource } from "./machine.ts";
import { hostDir, hostDirInside, workDir } from "./machine-dir.ts";
import { makeMemoryFile, makeWritable } from "./machine-files.ts";
import { asObject, type QmpClient } from "./qmp.ts";
import { fromSystemError } from "./system-error.ts";
import { runTool } from "./tool.ts";

const MIB = 1024 * 1024;
const MIGRATE_SOCKET = "migrate.sock";
const LAUNCH_TIMEOUT_MS = 20_000;
const DEADLINE_MS = 20_000;
/** A stopped machine of many gigabytes on a slow disk. */
const STOPPED_TIMEOUT_MS = 180_000;
const SETTLE_TIMEOUT_MS = 5_000;
const DOWNTIME_MS = 30;
const BANDWIDTH_BYTES_PER_SECOND = 10 * 1024 ** 3;
/** What a process needs beside its machine's memory. */
const PROCESS_BYTES = 64 * MIB;

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
  const freeze: Freeze = { context, source, spec, memoryFile, ...(signal ? { signal } : {}) };
  try {
    await makeMemoryFile(memoryFile, memoryMib * MIB);
    const direct = (await context.difference()).state === "works";
    const done = await (direct ? fromDifference(freeze) : migrated(freeze));
    return { ...done, totalMs: performance.now() - started };
  } catch (error) {
    await rm(memoryFile, { force: true });
    signal?.throwIfAborted();
    throw fromSystemError(error);
  }
}

interface Freeze {
  context: Context;
  source: LiveSource;
  spec: LiveFreezeSpec;
  memoryFile: string;
  signal?: AbortSignal;
}

async function fromDifference(freeze: Freeze): Promise<Omit<LiveFreeze, "totalMs">> {
  const { context, source, spec, memoryFile, signal } = freeze;
  const chain = await readChain(source.record);
  const taken = join(spec.stateDir, "difference");
  await mkdir(taken);
  let receiver: Receiver | undefined;
  let devices: FileHandle | undefined;
  try {
    const { pauseMs, layers } = await takeDifference(context, source, taken, { signal });
    const merging = runTool(context.hotMemory.sealPath, [chain.memory, join(taken, "pages"), memoryFile], {
      timeoutMs: STOPPED_TIMEOUT_MS,
      signal,
      debianPackage: "thaw",
    });
    const disks = [...chain.disks.slice(0, chain.ofSnapshot), ...layers.map((name) => join(taken, name))];
    await Promise.all([merging, linkLayers(disks, (index) => join(spec.dir, layerName(index)))]);
    devices = await open(join(taken, "devices"), "r");
    receiver = await startReceiver(freeze, { devices, unconfigured: true });
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

async function migrated(freeze: Freeze): Promise<Omit<LiveFreeze, "totalMs">> {
  const { source, spec, memoryFile, signal } = freeze;
  const { record, qmp } = source;
  const chain = await readChain(record);
  let receiver: Receiver | undefined;
  let cut: PreparedCut | undefined;
  try {
    // A shared mapping of a file that the disk has no room for ends a process with SIGBUS, so the room is taken before.
    await runTool("fallocate", ["--length", String(record.resources.memoryMib * MIB), memoryFile], {
      timeoutMs: 60_000,
      signal,
      debianPackage: "util-linux",
      code: "no-space",
    });
    receiver = await startReceiver(freeze, chain);
    cut = await prepareCut(qmp, record, chain);
    const uri = await offerSocket(receiver, record, chain.runtimeDirInside);
    const moved = await move(qmp, {
      uri,
      receiver: receiver.qmp,
      cut,
      deadlineMs: record.needs.accelerator === "kvm" ? (spec.deadlineMs ?? DEADLINE_MS) : 0,
      ...(signal ? { signal } : {}),
    });
    cut = undefined;
    await freezeToFiles({ ...receiver, dir: spec.dir, memoryFile });
    const disks = await moved.layers;
    await linkLayers(disks, (index) => join(spec.dir, layerName(index)));
    const layers = disks.slice(1).map((_, index) => layerName(index + 1));
    return { layers, pauseMs: moved.pauseMs, converged: moved.converged };
  } finally {
    await cut?.abandon().catch(() => {});
    await rm(join(hostDir(record), MIGRATE_SOCKET), { force: true });
    await receiver?.end();
  }
}

/** Name, in a snapshot's folder, of the `index`th disk from below. */
export function layerName(index: number): string {
  return index === 0 ? "disk.qcow2" : `layer-${index}.qcow2`;
}

interface Receiver extends Launched {
  runtimeDir: string;
  runtimeDirInside: string;
  hostDirInside: string;
  end(): Promise<void>;
}

/**
 * The second process, jailed as every machine, waiting for a migration.
 * @param from how the state comes: `unconfigured` without a configuration section, and from `devices` when it is a difference's
 */
async function startReceiver(
  freeze: Freeze,
  from: { unconfigured: boolean; devices?: FileHandle },
): Promise<Receiver> {
  const { devices, unconfigured } = from;
  const { context, spec, signal } = freeze;
  const { record } = freeze.source;
  const runtimeDir = runtimeDirOf(context, spec);
  const facts = await context.facts();
  const confinement = confine(await context.jail(), runtimeDir);
  const memoryFile = confinement.show("memory", freeze.memoryFile, "write");
  await makeWritable([freeze.memoryFile]);
  using deadline = deadlineSignal("the second process did not start", LAUNCH_TIMEOUT_MS, signal);
  const { machine, accelerator, cpu } = record.needs;
  const { resources } = record;
  const started = await launch(context, {
    ...{ id: spec.id, qemuPath: facts.path, runtimeDir, confinement, accelerator, resources },
    inherit: devices === undefined ? [] : [devices.fd],
    argv: receiveArgv({ id: spec.id, machine, accelerator, cpu, resources, memoryFile, unconfigured }),
    timeoutMs: LAUNCH_TIMEOUT_MS,
    signal: deadline.signal,
  });
  const { runtimeDirInside, hostDirInside } = confinement;
  const end = async (): Promise<void> => {
    started.qmp.close();
    await started.keeper.end();
  };
  return { ...started, runtimeDir, runtimeDirInside, hostDirInside, end };
}

/**
 * Has the receiver listen, and shows its socket to the source by a hard link: neither sees the other's folder.
 * @returns the address for the source
 */
async function offerSocket(
  receiver: Receiver,
  source: MachineRecord,
  sourceDirInside: string,
): Promise<string> {
  await receiver.qmp.execute("migrate-set-capabilities", { capabilities: capabilities("events") });
  await receiver.qmp.execute("migrate-incoming", {
    uri: `unix:${receiver.runtimeDirInside}/${MIGRATE_SOCKET}`,
  });
  const offered = join(hostDir(source), MIGRATE_SOCKET);
  await rm(offered, { force: true });
  // Into a folder that neither machine can change: what it is now it stays.
  await link(join(workDir(receiver), MIGRATE_SOCKET), offered);
  if (!(await lstat(offered)).isSocket()) {
    throw new RunnerError("start-failed", "the second process made something else of its socket");
  }
  await chmod(offered, 0o666);
  return `unix:${hostDirInside(sourceDirInside)}/${MIGRATE_SOCKET}`;
}

interface MoveOptions {
  uri: string;
  receiver: QmpClient;
  cut: PreparedCut;
  /** 0: the machine is stopped before. */
  deadlineMs: number;
  signal?: AbortSignal;
}

interface Moved {
  pauseMs: number;
  converged: boolean;
  /** Copies of what was cut, being made behind it. */
  layers: Promise<string[]>;
}

/** Memory and devices into the receiver, the disk cut on the way. The source goes on whatever happens, unless it was paused before. */
async function move(qmp: QmpClient, options: MoveOptions): Promise<Moved> {
  const { uri, receiver, cut, deadlineMs, signal } = options;
  const wasRunning = asObject(await qmp.execute("query-status")).status === "running";
  let stoppedAt: number | undefined;
  const onStop = ({ name }: { name: string }): void => {
    if (name === "STOP") stoppedAt ??= performance.now();
  };
  let converged = true;
  let timer: NodeJS.Timeout | undefined;
  const hurry = (): void => {
    converged = false;
    qmp.execute("stop").catch(() => {});
  };
  const onAbort = (): void => {
    qmp.execute("migrate_cancel").catch(() => {});
  };
  const timeoutMs = deadlineMs + STOPPED_TIMEOUT_MS;
  qmp.on("event", onStop);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const received = waitMigration(receiver, timeoutMs);
    received.catch(() => {});
    await qmp.execute("migrate-set-capabilities", {
      capabilities: [
        ...capabilities("events", "pause-before-switchover", "auto-converge"),
        { capability: "x-ignore-shared", state: false },
      ],
    });
    await qmp.execute("migrate-set-parameters", {
      "max-bandwidth": BANDWIDTH_BYTES_PER_SECOND,
      "downtime-limit": DOWNTIME_MS,
    });
    if (deadlineMs === 0 && wasRunning) {
      converged = false;
      await qmp.execute("stop");
    }
    const ready = waitSwitchover(qmp, timeoutMs);
    ready.catch(() => {});
    await qmp.execute("migrate", { uri });
    if (deadlineMs > 0) timer = setTimeout(hurry, deadlineMs);
    signal?.throwIfAborted();
    await ready;
    clearTimeout(timer);
    const sent = waitMigration(qmp, timeoutMs);
    sent.catch(() => {});
    await cut.cut();
    await qmp.execute("migrate-continue", { state: "pre-switchover" });
    await sent;
    await goOn(qmp, wasRunning);
    const pauseMs = wasRunning ? performance.now() - (stoppedAt ?? performance.now()) : 0;
    const layers = cut.layers();
    layers.catch(() => {});
    await received;
    return { pauseMs, converged, layers };
  } catch (error) {
    clearTimeout(timer);
    await cancel(qmp).catch(() => {});
    if (wasRunning) await goOn(qmp, true).catch(() => {});
    signal?.throwIfAborted();
    throw error;
  } finally {
    qmp.off("event", onStop);
    signal?.removeEventListener("abort", onAbort);
  }
}

/**
 * After a migration QEMU has let go of its disks; `cont` takes them up again, and is refused for the instant in which QEMU tidies up. A
 * machine that was paused runs for a moment.
 */
async function goOn(qmp: QmpClient, wasRunning: boolean): Promise<void> {
  const deadline = performance.now() + SETTLE_TIMEOUT_MS;
  for (;;) {
    const [refused] = await Promise.all([
      qmp.execute("cont").then(
        () => null,
        (error: unknown) => error,
      ),
      ...(wasRunning ? [] : [qmp.execute("stop")]),
    ]);
    if (refused === null) return;
    if (!String(refused).includes("not finalized") || performance.now() > deadline) throw refused;
    await sleep(1);
  }
}

/** Gives up a migration that is under way. Resolves when QEMU has. */
async function cancel(qmp: QmpClient): Promise<void> {
  await qmp.execute("migrate_cancel");
  const deadline = performance.now() + SETTLE_TIMEOUT_MS;
  const over = ["none", "cancelled", "failed", "completed", "undefined"];
  while (!over.includes(String(asObject(await qmp.execute("query-migrate")).status))) {
    if (performance.now() > deadline) return;
    await sleep(2);
  }
}

async function waitSwitchover(qmp: QmpClient, timeoutMs: number): Promise<void> {
  const status = await qmp.waitEvent(
    ({ name, data }) =>
      name === "MIGRATION" &&
      ["pre-switchover", "completed", "failed", "cancelled"].includes(String(data.status))
        ? String(data.status)
        : undefined,
    { what: "the last page of memory", timeoutMs },
  );
  if (status === "pre-switchover") return;
  const reason = asObject(await qmp.execute("query-migrate").catch(() => undefined))["error-desc"];
  throw new RunnerError(
    "start-failed",
    `the machine's memory could not be copied: ${status}${reason === undefined ? "" : `, ${String(reason).slice(0, 500)}`}`,
  );
}

/** The second process holds the machine's whole memory until it is on disk. */
async function needMemory(bytes: number): Promise<void> {
  const text = await readFile("/proc/meminfo", "utf8");
  const available = 1024 * Number(/^MemAvailable:\s+(\d+) kB/m.exec(text)?.[1] ?? Number.POSITIVE_INFINITY);
  if (available >= bytes) return;
  throw new RunnerError(
    "no-memory",
    `${Math.floor(available / MIB)} MiB of memory are available, a live freeze needs ${Math.ceil(bytes / MIB)} MiB`,
    { hint: "thaw ls; thaw rm what is not needed" },
  );
}
