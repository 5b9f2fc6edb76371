/** The second process of a live freeze. It never runs; its memory is the new snapshot's file. */
import { chmod, type FileHandle, link, lstat, rm } from "node:fs/promises";
import { join } from "node:path";
import { deadlineSignal } from "../../host/deadline.ts";
import { hostDir, hostDirInside, workDir } from "../../host/machine-dir.ts";
import { type LiveFreezeSpec, type MachineRecord, RunnerError } from "../../runner.ts";
import { receiveArgv } from "../argv.ts";
import { type Context, confine, runtimeDirOf } from "../context.ts";
import { type Launched, launch } from "../launch.ts";
import { makeWritable } from "../machine-files.ts";
import { capabilities } from "./migrate.ts";

const MIGRATE_SOCKET = "migrate.sock";
const LAUNCH_TIMEOUT_MS = 20_000;

export interface Receiver extends Launched {
  runtimeDir: string;
  runtimeDirInside: string;
  hostDirInside: string;
  /** Kills it and removes its runtime folder. */
  end(): Promise<void>;
}

export interface ReceiverOptions {
  /** Machine whose state it gets. */
  source: MachineRecord;
  spec: LiveFreezeSpec;
  memoryFile: string;
  /** Virtual size of the machine's disk. */
  diskBytes: number;
  /** A difference's device state; absent when the state comes as a migration. */
  devices?: FileHandle;
  signal?: AbortSignal | undefined;
}

/** Starts the process, jailed as every machine, waiting for a migration. */
export async function startReceiver(context: Context, options: ReceiverOptions): Promise<Receiver> {
  const { source, spec, devices, diskBytes } = options;
  const runtimeDir = runtimeDirOf(context, spec);
  const facts = await context.facts();
  const confinement = confine(await context.jail(source.imported ? "imported" : "machine"), runtimeDir);
  const memoryFile = confinement.show("memory", options.memoryFile, "write");
  await makeWritable([options.memoryFile]);
  using deadline = deadlineSignal("the second process did not start", LAUNCH_TIMEOUT_MS, options.signal);
  const { machine, accelerator, cpu } = source.needs;
  const { resources } = source;
  const started = await launch(context, {
    ...{ id: spec.id, qemuPath: facts.path, runtimeDir, confinement, accelerator, resources },
    inherit: devices === undefined ? [] : [devices.fd],
    argv: receiveArgv({ id: spec.id, machine, accelerator, cpu, resources, memoryFile, diskBytes }),
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
export async function offerSocket(
  receiver: Receiver,
  source: MachineRecord,
  sourceDirInside: string,
): Promise<string> {
  await receiver.qmp.execute("migrate-set-capabilities", { capabilities: capabilities("events") });
  await receiver.qmp.execute("migrate-incoming", {
    uri: `unix:${receiver.runtimeDirInside}/${MIGRATE_SOCKET}`,
  });
  const offered = offeredSocket(source);
  await rm(offered, { force: true });
  // Into a folder that neither machine can change: what it is now it stays.
  await link(join(workDir(receiver), MIGRATE_SOCKET), offered);
  if (!(await lstat(offered)).isSocket()) {
    throw new RunnerError("start-failed", "the receiving QEMU replaced its migration socket");
  }
  await chmod(offered, 0o666);
  return `unix:${hostDirInside(sourceDirInside)}/${MIGRATE_SOCKET}`;
}

/** Where the source finds the receiver's socket. */
export function offeredSocket(source: MachineRecord): string {
  return join(hostDir(source), MIGRATE_SOCKET);
}
