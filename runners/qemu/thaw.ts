/** A restore from a snapshot: memory mapped, device state read, disk overlaid. */
import { chmod, type FileHandle, mkdir, open, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { deadlineSignal } from "../host/deadline.ts";
import { type DifferenceFiles, RunnerError, type SnapshotFiles, type ThawSpec } from "../runner.ts";
import { INHERITED_FD, thawArgv } from "./argv.ts";
import { recordOf } from "./boot.ts";
import { type Context, confine, runtimeDirOf } from "./context.ts";
import { openDeviceState } from "./device-state.ts";
import { DISK_DIR, LAYERS_DIR, machineFiles, overlayName, writeChain } from "./disk/chain.ts";
import { checkDisk } from "./disk/convert.ts";
import { linkLayers } from "./disk/layers.ts";
import { capabilities, waitMigration } from "./freeze/migrate.ts";
import { mapsReadOnly } from "./host-facts.ts";
import type { Lease } from "./hot-memory.ts";
import { type Launched, launch } from "./launch.ts";
import { liveOperations } from "./live-operations.ts";
import { QemuMachine } from "./machine.ts";
import { emptyQcow2, readQcow2Header } from "./qcow2.ts";
import type { QmpClient } from "./qmp.ts";
import { fromSystemError } from "./system-error.ts";

const THAW_TIMEOUT_MS = 20_000;
const MIB = 1024 * 1024;
const OVERLAY = overlayName(0);

/** Empty overlays by size; there are as many as there are disk sizes in use. */
const overlays = new Map<number, Buffer>();

/** The snapshot's needs must have been found compatible before. */
export async function thaw(context: Context, spec: ThawSpec, outer?: AbortSignal): Promise<QemuMachine> {
  const { id, stateDir, snapshot, difference } = spec;
  const { resources, needs } = snapshot;
  const runtimeDir = runtimeDirOf(context, spec);
  const imported = snapshot.imported === true || difference?.imported === true;
  const [facts, support, diskBytes] = await Promise.all([
    context.facts(),
    context.jail(imported ? "imported" : "machine"),
    checkFiles(snapshot),
  ]);
  if (spec.cache !== undefined) needCacheRoom(spec, diskBytes);
  const confinement = confine(support, runtimeDir);
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
    const cached = spec.cache === undefined ? [] : await linkCache(spec.cache, layersDir);
    const disks = [...ofSnapshot, ...inherited, ...cached];
    for (const [index, disk] of disks.entries())
      if (index > 0 && (await checkSnapshotDisk(disk, snapshot)) !== diskBytes)
        throw new RunnerError("corrupt-snapshot", `${disk} does not have the size of its base disk`);
    [devices, lease] = await Promise.all([
      openDeviceState(
        join(difference?.dir ?? snapshot.dir, "devices"),
        needs.machine,
        join(diskDir, "devices"),
      ),
      hot(context, { memoryFile, snapshot, difference, openReadOnly }),
      makeOverlay(diskDir, diskBytes),
    ]);
    const memoryPath =
      lease === undefined
        ? confinement.show("memory", memoryFile, "read")
        : `/proc/self/fd/${INHERITED_FD + 1}`;
    const [baseDisk = "", ...layers] = disks.map((disk, index) =>
      confinement.show(index === 0 ? "base.qcow2" : `layer-${index}.qcow2`, disk, "read"),
    );
    const diskDirInside = confinement.show(DISK_DIR, diskDir, "write");
    confinement.own.push(join(diskDir, OVERLAY));
    const overlay = `${diskDirInside}/${OVERLAY}`;
    const { runtimeDirInside } = confinement;
    const kept = writeChain(stateDir, {
      ...{ memory: memoryFile, pages, disks, ofSnapshot: ofSnapshot.length, firstOwn: 0 },
      ...{ diskDirInside, runtimeDirInside, diskBytes },
    });
    kept.catch(() => {});
    const { machine, accelerator, cpu } = needs;
    const started = await launch(context, {
      ...{ id, qemuPath: facts.path, runtimeDir, confinement, accelerator, resources },
      background: spec.background,
      inherit: [devices.fd, ...(lease === undefined ? [] : [lease.fd])],
      argv: thawArgv({
        ...{ id, machine, accelerator, cpu, resources, baseDisk, layers, overlay },
        memory: { path: memoryPath, openReadOnly },
      }),
      timeoutMs: THAW_TIMEOUT_MS,
      signal: deadline.signal,
    });
    const { qmp, keeper } = started;
    try {
      await Promise.all([restore(qmp, deadline.signal, spec.paused), kept]);
    } catch (error) {
      const stderr = await endFailed(started);
      deadline.signal.throwIfAborted();
      throw explain(error, snapshot, stderr);
    }
    const record = recordOf({ spec, needs, confinement, started, runtimeDir, resources, imported });
    const thawed = new QemuMachine({ record, qmp, keeper, live: liveOperations(context) });
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

/** @returns what QEMU wrote to stderr */
async function endFailed({ qmp, keeper }: Launched): Promise<string> {
  qmp.close();
  const status = await keeper.status().catch(() => undefined);
  await keeper.end();
  return status?.stderr.trim() ?? "";
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

function needCacheRoom({ snapshot, difference }: ThawSpec, diskBytes: number): void {
  if (difference !== undefined)
    throw new RunnerError("unsupported", "a resumed machine already has its cached folders");
  if (diskBytes > snapshot.resources.diskMib * MIB) return;
  throw new RunnerError(
    "unsupported",
    `snapshot ${snapshot.id} has no room for cached folders: an older version made it`,
    {
      hint: "thaw template build --force",
    },
  );
}

/** The layer is the machine's as long as it lives, whatever becomes of the file that it was given as. */
async function linkCache(layer: string, layersDir: string): Promise<string[]> {
  await mkdir(layersDir, { mode: 0o711 });
  const own = join(layersDir, "cache.qcow2");
  await linkLayers([layer], () => own);
  return [own];
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

/**
 * Sizes and header are as the snapshot's manifest says; whole digests are the engine's to check.
 * @returns virtual size of its disk
 */
async function checkFiles(snapshot: SnapshotFiles): Promise<number> {
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
  const [memoryBytes, deviceBytes, diskBytes] = await Promise.all([
    sizeOf("memory"),
    sizeOf("devices"),
    sizeOf("disk.qcow2").then(() => checkSnapshotDisk(join(dir, "disk.qcow2"), snapshot)),
    ...(snapshot.layers ?? []).map(sizeOf),
  ]);
  const wanted = resources.memoryMib * MIB;
  if (memoryBytes !== wanted) corrupt("memory", `has ${memoryBytes} bytes, not ${wanted}`);
  if (deviceBytes === 0) corrupt("devices", "is empty");
  return diskBytes;
}

/** QEMU follows what a disk's header names, so none is opened unlooked at. @returns its virtual size */
async function checkSnapshotDisk(path: string, snapshot: SnapshotFiles): Promise<number> {
  const corrupt = (why: string): RunnerError =>
    new RunnerError("corrupt-snapshot", `${path} ${why}`, { hint: `thaw snapshot verify ${snapshot.id}` });
  const handle = await open(path, "r").catch(() => {
    throw corrupt("is missing");
  });
  try {
    const verdict = checkDisk(await readQcow2Header(handle), snapshot.resources.diskMib * MIB);
    if (!verdict.ok) throw corrupt(verdict.reason);
    return verdict.virtualSize;
  } finally {
    await handle.close();
  }
}
