/** A restore from a snapshot: memory mapped, device state read, disk overlaid. */
import { chmod, chown, type FileHandle, mkdir, open, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type DifferenceFiles, RunnerError, type SnapshotFiles, type ThawSpec } from "../runner.ts";
import { thawArgv } from "./argv.ts";
import { recordOf } from "./boot.ts";
import { type Context, confine, runtimeDirOf } from "./context.ts";
import { deadlineSignal } from "./deadline.ts";
import { DISK_DIR, LAYERS_DIR, linkLayers, machineFiles, overlayName, writeChain } from "./disk-chain.ts";
import { capabilities, waitMigration } from "./freeze.ts";
import { mapsReadOnly } from "./host-facts.ts";
import type { Lease } from "./hot-memory.ts";
import { INHERITED_FD, launch } from "./launch.ts";
import { liveOperations } from "./live-operations.ts";
import { killQuietly, QemuMachine } from "./machine.ts";
import { waitGone } from "./proc.ts";
import { checkQcow2, emptyQcow2, QCOW2_HEADER_BYTES } from "./qcow2.ts";
import type { QmpClient } from "./qmp.ts";
import { fromSystemError } from "./system-error.ts";

const THAW_TIMEOUT_MS = 20_000;
const MIB = 1024 * 1024;
const CONFIGURATION_SECTION = 7;
const OVERLAY = overlayName(0);

/** Empty overlays by size; there are as many as there are disk sizes in use. */
const overlays = new Map<number, Buffer>();

/** The snapshot's needs must have been found compatible before. */
export async function thaw(context: Context, spec: ThawSpec, outer?: AbortSignal): Promise<QemuMachine> {
  const { id, stateDir, snapshot, difference } = spec;
  const { resources, needs } = snapshot;
  const runtimeDir = runtimeDirOf(context, spec);
  const [facts, support] = await Promise.all([context.facts(), context.jail(), checkFiles(snapshot)]);
  const confinement = confine(support, id, runtimeDir);
  using deadline = deadlineSignal("the snapshot was not restored", THAW_TIMEOUT_MS, outer);

  const memoryFile = join(snapshot.dir, "memory");
  const openReadOnly = mapsReadOnly(facts);
  const diskDir = join(stateDir, DISK_DIR);
  const layersDir = join(stateDir, LAYERS_DIR);
  const pages = difference === undefined ? null : join(layersDir, "pages");
  // Fails when a machine's disk is already there; only what was made here is removed below.
  await mkdir(diskDir, { mode: 0o700 }).catch((error: unknown) => {
    throw fromSystemError(error);
  });
  let devices: FileHandle | undefined;
  let lease: Lease | undefined;
  try {
    const ofSnapshot = ["disk.qcow2", ...(snapshot.layers ?? [])].map((name) => join(snapshot.dir, name));
    const inherited = difference === undefined ? [] : await inherit(difference, layersDir);
    const disks = [...ofSnapshot, ...inherited];
    for (const [index, disk] of disks.entries()) if (index > 0) await checkDisk(disk, snapshot);
    [devices, lease] = await Promise.all([
      open(join(difference?.dir ?? snapshot.dir, "devices"), "r"),
      hot(context, { memoryFile, snapshot, difference, openReadOnly }),
      makeOverlay(diskDir, resources.diskMib * MIB),
    ]);
    if (confinement.jail?.uid !== undefined) {
      for (const path of [diskDir, join(diskDir, OVERLAY)])
        await chown(path, confinement.uid, confinement.uid);
    }
    const memoryPath =
      lease === undefined
        ? confinement.show("memory", memoryFile, "read")
        : `/proc/self/fd/${INHERITED_FD + 1}`;
    const [baseDisk = "", ...layers] = disks.map((disk, index) =>
      confinement.show(index === 0 ? "base.qcow2" : `layer-${index}.qcow2`, disk, "read"),
    );
    const diskDirInside = confinement.show(DISK_DIR, diskDir, "write");
    const overlay = `${diskDirInside}/${OVERLAY}`;
    const { runtimeDirInside } = confinement;
    const unconfigured = !(await isConfigured(devices));
    const kept = writeChain(stateDir, {
      ...{ memory: memoryFile, pages, disks, ofSnapshot: ofSnapshot.length, firstOwn: 0 },
      ...{ unconfigured, diskDirInside, runtimeDirInside },
    });
    kept.catch(() => {});
    const { machine, accelerator, cpu } = needs;
    const started = await launch({
      qemuPath: facts.path,
      stateDir,
      runtimeDir,
      ...(confinement.jail === undefined ? {} : { jail: confinement.jail }),
      kvm: accelerator === "kvm",
      bindings: confinement.bindings,
      inherit: [devices.fd, ...(lease === undefined ? [] : [lease.fd])],
      argv: (dir) => {
        const memory = { path: memoryPath, openReadOnly };
        return thawArgv({
          id,
          runtimeDir: dir,
          machine,
          accelerator,
          cpu,
          resources,
          memory,
          baseDisk,
          layers,
          overlay,
          unconfigured,
        });
      },
      timeoutMs: THAW_TIMEOUT_MS,
      signal: deadline.signal,
    });
    try {
      await Promise.all([restore(started.qmp, deadline.signal, spec.paused), kept]);
    } catch (error) {
      killQuietly(started.pid);
      await waitGone(started.pid, started.startTicks, 5_000);
      started.qmp.close();
      await rm(runtimeDir, { recursive: true, force: true });
      deadline.signal.throwIfAborted();
      throw explain(error, snapshot, started.stderr());
    }
    const record = recordOf({ spec, needs, confinement, started, runtimeDir, resources });
    const thawed = new QemuMachine({
      record,
      qmp: started.qmp,
      stderr: started.stderr,
      ended: started.ended,
      live: liveOperations(context),
    });
    // One that is frozen and thawed again and again inherits a layer each time.
    if (difference !== undefined) thawed.settle();
    return thawed;
  } catch (error) {
    for (const made of machineFiles(stateDir)) await rm(made, { recursive: true, force: true });
    throw fromSystemError(error);
  } finally {
    lease?.release();
    await devices?.close();
  }
}

/**
 * Whether a saved device state begins with a configuration section, as a migration's does; what was saved of a difference does not, and
 * QEMU must be told. Source: `qemu_loadvm_state_header` in QEMU's migration/savevm.c.
 */
export async function isConfigured(devices: FileHandle): Promise<boolean> {
  const { bytesRead, buffer } = await devices.read(Buffer.alloc(9), 0, 9, 0);
  return bytesRead < 9 || buffer[8] === CONFIGURATION_SECTION;
}

/** The memory that its clones share, where they can't map the snapshot's file itself. */
async function hot(
  context: Context,
  of: { memoryFile: string; openReadOnly: boolean } & Pick<ThawSpec, "snapshot" | "difference">,
): Promise<Lease | undefined> {
  const { memoryFile, snapshot, difference, openReadOnly } = of;
  if (difference !== undefined) {
    return context.hotMemory.acquire(difference.id, memoryFile, join(difference.dir, "pages"));
  }
  return openReadOnly ? undefined : context.hotMemory.acquire(snapshot.id, memoryFile);
}

/** Files of a difference that the machine needs for as long as it lives, as its own. @returns its disk layers, lowest first */
async function inherit(difference: DifferenceFiles, layersDir: string): Promise<string[]> {
  await mkdir(layersDir, { mode: 0o711 });
  const files = ["pages", ...difference.layers].map((name) => join(difference.dir, name));
  const name = (index: number): string => join(layersDir, index === 0 ? "pages" : `inherited-${index}.qcow2`);
  await linkLayers(files, name);
  return difference.layers.map((_, index) => name(index + 1));
}

/** Loads the device state and lets the machine run, unless it is to stay as it is. QEMU answers in order, so the commands are sent at once. */
async function restore(qmp: QmpClient, signal: AbortSignal, paused = false): Promise<void> {
  const onAbort = (): void => qmp.close();
  signal.addEventListener("abort", onAbort);
  try {
    const loaded = waitMigration(qmp);
    loaded.catch(() => {});
    await Promise.all([
      qmp.execute("migrate-set-capabilities", { capabilities: capabilities("events", "x-ignore-shared") }),
      qmp.execute("migrate-incoming", { uri: `fd:${INHERITED_FD}` }),
    ]);
    await loaded;
    if (!paused) await qmp.execute("cont");
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** QEMU refused the device state, or ended over it: then what it printed says why. */
function explain(error: unknown, snapshot: SnapshotFiles, stderr: string): unknown {
  if (!(error instanceof RunnerError) || error.code === "timeout") return error;
  const why = stderr.split("\n").slice(-3).join("; ") || error.message;
  const hint = `thaw snapshot verify ${snapshot.id}`;
  return new RunnerError("corrupt-snapshot", `${join(snapshot.dir, "devices")} can't be restored: ${why}`, {
    hint,
    cause: error,
  });
}

async function makeOverlay(diskDir: string, bytes: number): Promise<void> {
  let empty = overlays.get(bytes);
  if (empty === undefined) {
    empty = emptyQcow2(bytes);
    overlays.set(bytes, empty);
  }
  await writeFile(join(diskDir, OVERLAY), empty, { mode: 0o600, flag: "wx" });
}

/** Sizes and header are as the snapshot's manifest says; whole digests are the engine's to check. */
async function checkFiles(snapshot: SnapshotFiles): Promise<void> {
  const { dir, resources } = snapshot;
  const corrupt = (name: string, why: string): never => {
    throw new RunnerError("corrupt-snapshot", `${join(dir, name)} ${why}`, {
      hint: `thaw snapshot verify ${snapshot.id}`,
    });
  };
  const sizeOf = async (name: string): Promise<number> => {
    const found = await stat(join(dir, name)).catch(() => undefined);
    if (found === undefined || !found.isFile()) return corrupt(name, "is missing");
    // The jail's uid opens it by name; the folder is private already.
    if ((found.mode & 0o004) === 0 && process.getuid?.() === 0) await chmod(join(dir, name), 0o444);
    return found.size;
  };
  const [memoryBytes, deviceBytes] = await Promise.all([
    sizeOf("memory"),
    sizeOf("devices"),
    sizeOf("disk.qcow2").then(() => checkDisk(join(dir, "disk.qcow2"), snapshot)),
    ...(snapshot.layers ?? []).map(sizeOf),
  ]);
  const wanted = resources.memoryMib * MIB;
  if (memoryBytes !== wanted) corrupt("memory", `has ${memoryBytes} bytes, not ${wanted}`);
  if (deviceBytes === 0) corrupt("devices", "is empty");
}

/** QEMU follows what a disk's header names, so none is opened unlooked at. */
async function checkDisk(path: string, snapshot: SnapshotFiles): Promise<void> {
  const corrupt = (why: string): RunnerError =>
    new RunnerError("corrupt-snapshot", `${path} ${why}`, { hint: `thaw snapshot verify ${snapshot.id}` });
  const handle = await open(path, "r").catch(() => {
    throw corrupt("is missing");
  });
  try {
    const header = await handle.read(Buffer.alloc(QCOW2_HEADER_BYTES), 0, QCOW2_HEADER_BYTES, 0);
    const verdict = checkQcow2(header.buffer.subarray(0, header.bytesRead));
    if (!verdict.ok) throw corrupt(verdict.reason);
    const wanted = snapshot.resources.diskMib * MIB;
    if (verdict.virtualSize !== wanted)
      throw corrupt(`is a disk of ${verdict.virtualSize} bytes, not ${wanted}`);
  } finally {
    await handle.close();
  }
}
