/** Saving a machine whose memory is already a file: only the device state is left to write. */
import { chmod, type FileHandle, open, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import type { Keeper } from "../../host/keeper.ts";
import { hostDir } from "../../host/machine-dir.ts";
import { runTool } from "../../host/tool.ts";
import { RunnerError } from "../../runner.ts";
import type { QmpClient } from "../qmp.ts";
import { capabilities, waitMigration } from "./migrate.ts";

const MIGRATE_SOCKET = "state.sock";
const QUIT_TIMEOUT_MS = 10_000;
/** Device state without RAM is below 1 MB; a QEMU that sends more is not believed. */
const MAX_STATE_BYTES = 64 * 1024 * 1024;

interface SaveOptions {
  qmp: QmpClient;
  runtimeDir: string;
  /** The folder of the host's sockets as QEMU sees it. */
  hostDirInside: string;
}

export interface FreezeOptions extends SaveOptions {
  /** Where `devices` is written. */
  dir: string;
  memoryFile: string;
  /** Absent when the process has no disk of the machine's. */
  diskFile?: string;
  keeper: Keeper;
}

/** Leaves `dir/devices`, the memory file (holes dug for zero pages) and the disk whole and on disk; QEMU has quit. */
export async function freezeToFiles(options: FreezeOptions): Promise<void> {
  const { qmp, dir, memoryFile, diskFile } = options;
  await qmp.execute("stop");
  const devices = await open(join(dir, "devices"), "wx", 0o444);
  try {
    await saveDevices(options, devices);
    await devices.sync();
  } finally {
    await devices.close();
  }
  await quit(qmp);
  await options.keeper.ended(QUIT_TIMEOUT_MS);
  await runTool("fallocate", ["--dig-holes", memoryFile], {
    timeoutMs: 120_000,
    debianPackage: "util-linux",
  });
  for (const file of diskFile === undefined ? [memoryFile] : [memoryFile, diskFile]) {
    const handle = await open(file, "r");
    try {
      if (process.getuid?.() === 0) await handle.chown(0, 0);
      await handle.chmod(0o444);
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}

/** Has QEMU send its device state to a socket of ours, so that it never holds the snapshot's file. */
async function saveDevices(options: SaveOptions, file: FileHandle): Promise<void> {
  const { qmp, hostDirInside } = options;
  const path = join(hostDir(options), MIGRATE_SOCKET);
  const server = createServer();
  const received = new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.once("connection", (socket) => {
      server.close();
      receive(socket, file).then(resolve, reject);
    });
  });
  received.catch(() => {});
  try {
    await new Promise<void>((resolve) => server.listen(path, resolve));
    // The folder is private to this user and the machine, which can't change what is in it.
    await chmod(path, 0o666);
    await qmp.execute("migrate-set-capabilities", {
      capabilities: capabilities("events", "x-ignore-shared"),
    });
    const completed = waitMigration(qmp);
    completed.catch(() => {});
    await qmp.execute("migrate", { uri: `unix:${hostDirInside}/${MIGRATE_SOCKET}` });
    await completed;
    await received;
  } finally {
    server.close();
    await rm(path, { force: true });
  }
}

async function receive(socket: Socket, file: FileHandle): Promise<void> {
  let total = 0;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    total += chunk.length;
    if (total > MAX_STATE_BYTES)
      throw new RunnerError("start-failed", `QEMU sent more than ${MAX_STATE_BYTES} bytes of device state`);
    await file.writeFile(chunk);
  }
  if (total === 0) throw new RunnerError("start-failed", "QEMU sent no device state");
}

async function quit(qmp: QmpClient): Promise<void> {
  await qmp.execute("quit").catch((error: unknown) => {
    if (!(error instanceof RunnerError && error.code === "machine-gone")) throw error;
  });
}
