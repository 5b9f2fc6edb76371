/**
 * The floor under a thaw: QEMU restored from the same snapshot with the same hardware and flags, and nothing else. No jail, no identity,
 * no records, no daemon: spawn, four QMP commands, one hello, one welcome.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, constants, copyFileSync, mkdirSync, openSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { encodeFrame, FrameReader } from "../../runners/agent/frame.ts";
import { FRAME, OLDEST_VERSION, VERSION } from "../../runners/agent/protocol.ts";
import { findTool } from "../../runners/host/find-tool.ts";
import { AGENT_SOCKET, QMP_SOCKET, thawArgv } from "../../runners/qemu/argv.ts";
import { emptyQcow2 } from "../../runners/qemu/qcow2.ts";
import type { World } from "./world.ts";

const DEADLINE_MS = 20_000;
const CONNECT_RETRY_MS = 1;
const STATE_FD = 3;
const MIB = 2 ** 20;

export interface Floor {
  /** Milliseconds from the spawn to the agent's welcome. */
  sample(): Promise<number>;
}

/** Copies the snapshot's memory, so that a QEMU that insists on write access has it on a file nobody else maps. */
export async function prepareFloor({ scratch, home, snapshot }: World): Promise<Floor> {
  const qemu = findTool("qemu-system-x86_64");
  if (qemu === undefined) throw new Error("no qemu-system-x86_64");
  const files = join(home, "snapshots", snapshot.id);
  const dir = join(scratch, "floor");
  mkdirSync(dir);
  const memory = join(dir, "memory");
  copyFileSync(join(files, "memory"), memory, constants.COPYFILE_FICLONE);
  const empty = emptyQcow2(snapshot.resources.diskMib * MIB);
  let count = 0;
  const sample = async (): Promise<number> => {
    const runtimeDir = join(dir, String(count++));
    mkdirSync(runtimeDir);
    const overlay = join(runtimeDir, "overlay.qcow2");
    writeFileSync(overlay, empty);
    const state = openSync(join(files, "devices"), "r");
    const { machine, accelerator, cpu } = snapshot.needs;
    const argv = thawArgv({
      ...{ id: `floor-${count}`, runtimeDir, machine, accelerator, cpu, overlay },
      resources: snapshot.resources,
      memory: { path: memory, openReadOnly: false },
      baseDisk: join(files, "disk.qcow2"),
    });
    try {
      return await restore([qemu, ...argv], { runtimeDir, state });
    } finally {
      closeSync(state);
      rmSync(runtimeDir, { recursive: true });
    }
  };
  return { sample };
}

async function restore(
  argv: [string, ...string[]],
  { runtimeDir, state }: { runtimeDir: string; state: number },
): Promise<number> {
  const [file, ...args] = argv;
  const start = performance.now();
  const child = spawn(file, args, { stdio: ["ignore", "ignore", "inherit", state], cwd: "/" });
  const ended = new Promise<never>((_resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => reject(new Error(`the floor's QEMU ended: ${signal ?? code}`)));
  });
  ended.catch(() => {});
  const sockets: Socket[] = [];
  const timer = setTimeout(() => child.kill("SIGKILL"), DEADLINE_MS);
  try {
    const toWelcome = async (): Promise<number> => {
      const qmp = await connectSoon(join(runtimeDir, QMP_SOCKET), child);
      sockets.push(qmp);
      await load(qmp);
      const agent = await connectSoon(join(runtimeDir, AGENT_SOCKET), child);
      sockets.push(agent);
      await greet(agent);
      return performance.now() - start;
    };
    return await Promise.race([toWelcome(), ended]);
  } finally {
    clearTimeout(timer);
    for (const socket of sockets) socket.destroy();
    if (child.exitCode === null && child.signalCode === null) {
      const gone = new Promise((resolve) => child.once("close", resolve));
      child.kill("SIGKILL");
      await gone;
    }
  }
}

/** Tries until QEMU listens. */
async function connectSoon(path: string, child: ChildProcess): Promise<Socket> {
  for (;;) {
    const socket = await new Promise<Socket | undefined>((resolve) => {
      const candidate = connect({ path });
      candidate.once("connect", () => resolve(candidate));
      candidate.once("error", () => resolve(undefined));
    });
    if (socket) return socket;
    if (child.exitCode !== null || child.signalCode !== null) throw new Error("the floor's QEMU ended");
    await new Promise((resolve) => setTimeout(resolve, CONNECT_RETRY_MS));
  }
}

/** Sends all commands at once, `cont` when the state is loaded. Resolves when `cont` was sent. */
function load(qmp: Socket): Promise<void> {
  const capabilities = ["events", "x-ignore-shared"].map((capability) => ({ capability, state: true }));
  const commands = [
    { execute: "qmp_capabilities" },
    { execute: "migrate-set-capabilities", arguments: { capabilities } },
    { execute: "migrate-incoming", arguments: { uri: `fd:${STATE_FD}` } },
  ];
  qmp.write(commands.map((command) => JSON.stringify(command)).join("\n"));
  let text = "";
  return new Promise((resolve, reject) => {
    qmp.once("error", reject);
    qmp.on("data", (chunk) => {
      text += chunk.toString("latin1");
      if (/"error"|"failed"/.test(text)) reject(new Error(`the floor's QEMU: ${text}`));
      if (!text.includes('"completed"')) return;
      qmp.removeAllListeners("data").resume();
      qmp.write('{"execute":"cont"}');
      resolve();
    });
  });
}

/** One hello, one welcome. */
function greet(agent: Socket): Promise<void> {
  const hello = Buffer.from(JSON.stringify({ versions: [OLDEST_VERSION, VERSION] }));
  for (const part of encodeFrame({ type: FRAME.HELLO, channel: 0, session: 1n, stream: 0 }, hello))
    agent.write(part);
  return new Promise((resolve, reject) => {
    const reader = new FrameReader({
      frame: ({ type, session }) => {
        if (type === FRAME.WELCOME && session === 1n) resolve();
      },
      data: () => {},
    });
    agent.once("error", reject);
    agent.once("close", () => reject(new Error("the agent's port closed")));
    agent.on("data", (chunk) => reader.push(chunk));
  });
}
