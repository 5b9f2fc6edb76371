/**
 * How a machine differs from its snapshot, taken in the tens of milliseconds that it takes to copy the memory it has written. The stored form
 * of the memory is in the source of `thaw-pages`.
 */
import { randomUUID } from "node:crypto";
import { rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { KEEPER_SOCKET, workDir } from "../../host/machine-dir.ts";
import { type Difference, type DifferenceOptions, RunnerError } from "../../runner.ts";
import type { Context } from "../context.ts";
import { readDeviceState, withConfiguration } from "../device-state.ts";
import { readChain } from "../disk/chain.ts";
import { Cut } from "../disk/cut.ts";
import { linkLayers } from "../disk/layers.ts";
import type { LiveSource } from "../machine.ts";
import { buildOf } from "../running-build.ts";
import { fromSystemError } from "../system-error.ts";
import { startPagesHelper } from "./pages-helper.ts";

const DEVICES_FILE = "devices.state";
const MIB = 1024 * 1024;

/** On rejection the machine goes on as before and nothing is left in `dir`. */
export async function takeDifference(
  context: Context,
  source: LiveSource,
  dir: string,
  options: DifferenceOptions = {},
): Promise<Difference> {
  const made: string[] = [];
  const into = (name: string): string => {
    const path = join(dir, name);
    made.push(path);
    return path;
  };
  try {
    return await take(context, source, { ...options, dir, into });
  } catch (error) {
    for (const path of made) await rm(path, { force: true });
    throw fromSystemError(error);
  }
}

async function take(
  context: Context,
  source: LiveSource,
  options: DifferenceOptions & { dir: string; into(name: string): string },
): Promise<Difference> {
  const { signal, after, dir, into } = options;
  const { record, qmp } = source;
  const [build, chain] = await Promise.all([buildOf(qmp), readChain(record)]);
  const devices = join(workDir(record), DEVICES_FILE);
  await rm(devices, { force: true });
  using helper = startPagesHelper(
    context.pagesPath,
    {
      keeper: join(record.runtimeDir, KEEPER_SOCKET),
      memoryBytes: record.resources.memoryMib * MIB,
      out: into("pages"),
      inherited: chain.pages,
    },
    signal,
  );
  try {
    await using cut = await Cut.prepare(source, "difference");
    await Promise.all([helper.says("ready"), after?.catch(() => {})]);
    signal?.throwIfAborted();
    const { copied, pauseMs } = await stopped(cut, async () => {
      helper.go();
      const filename = `${chain.runtimeDirInside}/${DEVICES_FILE}`;
      // QEMU takes commands in order: the disk before the devices, whose state must not be older than what is cut.
      const [, , bytes] = await Promise.all([
        cut.cut(),
        qmp
          .execute("xen-save-devices-state", { filename, live: false })
          .catch((error) => failIfFull(workDir(record), error)),
        helper.says("copied"),
      ]);
      return Number(bytes);
    });
    const [layers] = await Promise.all([
      cut.layers(),
      helper.says("done"),
      takeDevices(devices, into("devices"), record.needs.machine),
    ]);
    const own = layers.slice(chain.ofSnapshot);
    const names = own.map((_, index) => `layer-${index + 1}.qcow2`);
    const targets = names.map(into);
    await linkLayers(own, (index) => targets[index] ?? "");
    const { imported } = record;
    return {
      ...{ dir, id: `difference-${randomUUID()}`, layers: names, build, imported },
      ...{ pauseMs, copiedBytes: copied },
    };
  } finally {
    await rm(devices, { force: true });
  }
}

/** QEMU only speaks of an I/O error. Throws `no-space` when the folder's file system is full, else `error`. */
async function failIfFull(dir: string, error: Error): Promise<never> {
  const { bavail, bsize } = await statfs(dir);
  if (bavail * bsize >= MIB) throw error;
  throw new RunnerError("no-space", `${dir} has no room for the devices' state: ${error.message}`, {
    hint: `df -h ${dir}`,
    cause: error,
  });
}

/** Runs `work` while the machine stands still. It goes on whatever becomes of `work`. */
async function stopped(cut: Cut, work: () => Promise<number>): Promise<{ copied: number; pauseMs: number }> {
  let copied: number;
  try {
    await cut.stop();
    copied = await work();
  } catch (error) {
    await cut.goOn().catch(() => {});
    throw error;
  }
  return { copied, pauseMs: await cut.goOn() };
}

/** Takes over the device state that QEMU wrote into a folder of its own. */
async function takeDevices(from: string, to: string, machine: string): Promise<void> {
  const state = withConfiguration(await readDeviceState(from), machine);
  await writeFile(to, state, { mode: 0o444, flag: "wx" });
}
