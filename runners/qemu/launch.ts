/** Starts a QEMU process, in the jail or not, so that it outlives this one, and finds it again on the host. */
import { type ChildProcess, spawn } from "node:child_process";
import { close, open, readFileSync } from "node:fs";
import { chown, mkdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { RunnerError } from "../runner.ts";
import { AGENT_SOCKET, QMP_SOCKET } from "./argv.ts";
import { JAIL_RUNTIME_DIR, type JailBinding, jailArgv } from "./jail.ts";
import { readStat } from "./proc.ts";
import { QmpClient } from "./qmp.ts";
import { runTool } from "./tool.ts";
import { checkSocketPath, connectWhenReady } from "./unix-socket.ts";

/** Written by bwrap as soon as QEMU has a pid, also when the process that started it has died. */
export const JAIL_INFO = "jail.json";
const FIRST_INHERITED_FD = 3;
const STDERR_TAIL_BYTES = 8_192;
const EXIT_NOTICE_MS = 200;
const MACHINE_OOM_SCORE = 500;
const MAX_OOM_SCORE = 1000;
/** A process may always raise its own score, and hands it down. */
const RAISE_SCORE = 'echo "$0" > /proc/self/oom_score_adj; exec "$@"';

export interface LaunchOptions {
  qemuPath: string;
  /** The machine's folders; the runtime folder is made anew. */
  stateDir: string;
  runtimeDir: string;
  /** Absent: no jail. `uid` is given when the daemon is root. */
  jail?: { uid?: number };
  kvm: boolean;
  /** Files QEMU opens by name, within the jail. */
  bindings: readonly JailBinding[];
  /** Open descriptors QEMU inherits; the first becomes `INHERITED_FD`, and so on. */
  inherit: readonly number[];
  /** argv from the folder of the sockets as QEMU sees it. */
  argv: (runtimeDir: string) => string[];
  timeoutMs: number;
  signal: AbortSignal;
}

export interface Launched {
  qmp: QmpClient;
  pid: number;
  startTicks: string;
  /** Settles when what this process started has ended: QEMU itself, or the jail's outer half, which ends with QEMU. */
  ended: Promise<unknown>;
  /** The last of what QEMU wrote to stderr. */
  stderr(): string;
}

/** Number, in QEMU, of the first inherited descriptor. The jail's info descriptor comes before. */
export const INHERITED_FD = FIRST_INHERITED_FD + 1;

/** Resolves when QEMU answers on QMP. On rejection the process is dead and the runtime folder gone. */
export async function launch(options: LaunchOptions): Promise<Launched> {
  const { runtimeDir, jail } = options;
  for (const name of [QMP_SOCKET, AGENT_SOCKET]) checkSocketPath(join(runtimeDir, name));
  await rm(runtimeDir, { recursive: true, force: true });
  await mkdir(runtimeDir, { recursive: true, mode: 0o700 });
  if (jail?.uid !== undefined) await chown(runtimeDir, jail.uid, jail.uid);

  const infoPath = join(options.stateDir, JAIL_INFO);
  const infoFd = await promisify(open)(infoPath, "w", 0o600);
  let started: Started | undefined;
  try {
    const kvmDevice = options.kvm ? await deviceFor(jail?.uid, runtimeDir) : undefined;
    started = start(options, infoFd, kvmDevice);
    const { child, ended, stderr } = started;
    // The jail has written the pid before QEMU exists, so it is there when QEMU listens.
    const findPid = (): Promise<ProcessId> => processId(jail === undefined ? child.pid : infoPath);
    const [qmp, id] = await openQmp(started, options, findPid);
    qmp.unref();
    return { qmp, ...id, ended, stderr };
  } catch (error) {
    if (started !== undefined) await killStarted(started, jail === undefined ? undefined : infoPath);
    await rm(runtimeDir, { recursive: true, force: true });
    throw error;
  } finally {
    await promisify(close)(infoFd);
  }
}

/** The pid of QEMU as bwrap wrote it; undefined when it did not get that far. */
export async function readJailPid(infoPath: string): Promise<number | undefined> {
  const text = await readFile(infoPath, "utf8").catch(() => "");
  const pid = Number(/"child-pid":\s*(\d+)/.exec(text)?.[1]);
  return pid > 1 ? pid : undefined;
}

interface ProcessId {
  pid: number;
  startTicks: string;
}

/** @param known the pid, or the file the jail wrote it to */
async function processId(known: number | string | undefined): Promise<ProcessId> {
  const pid = typeof known === "string" ? await readJailPid(known) : known;
  const stat = pid === undefined ? undefined : await readStat(pid);
  if (pid === undefined || stat === undefined)
    throw new RunnerError("start-failed", "QEMU started and is not in /proc");
  return { pid, startTicks: stat.startTicks };
}

/**
 * What the kernel adds to a machine's badness when memory runs out: more than to this process's own, so that a machine goes before the one
 * that looks after all of them. Source: proc_pid_oom_score_adj(5).
 */
function oomScore(): number {
  const own = Number(readFileSync("/proc/self/oom_score_adj", "utf8"));
  return Math.min(MAX_OOM_SCORE, own + MACHINE_OOM_SCORE);
}

interface Started {
  child: ChildProcess;
  /** Settles when the child has ended: how. */
  ended: Promise<string>;
  stderr(): string;
}

function start(options: LaunchOptions, infoFd: number, kvmDevice: string | undefined): Started {
  const { jail } = options;
  const inner = [
    options.qemuPath,
    ...options.argv(jail === undefined ? options.runtimeDir : JAIL_RUNTIME_DIR),
  ] as const;
  const runtime: JailBinding = { source: options.runtimeDir, target: JAIL_RUNTIME_DIR, writable: true };
  const command =
    jail === undefined
      ? inner
      : ([
          "bwrap",
          ...jailArgv({
            ...jail,
            kvmDevice,
            bindings: [runtime, ...options.bindings],
            infoFd: FIRST_INHERITED_FD,
            command: [...inner],
          }),
        ] as const);
  const [file, ...args] = ["/bin/sh", "-c", RAISE_SCORE, String(oomScore()), ...command] as const;
  const child = spawn(file, args, {
    detached: true,
    env: { PATH: process.env.PATH ?? "/usr/bin:/bin" },
    cwd: "/",
    stdio: ["ignore", "ignore", "pipe", infoFd, ...options.inherit],
  });
  child.unref();
  let tail = Buffer.alloc(0);
  child.stderr?.on("data", (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]).subarray(-STDERR_TAIL_BYTES);
  });
  const pipe = child.stderr as unknown as { unref?(): void } | null;
  pipe?.unref?.();
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, signal) =>
      resolve(signal === null ? `exit status ${code}` : `signal ${signal}`),
    );
  });
  return { child, ended, stderr: () => tail.toString("utf8").trim() };
}

/** Rejects with what QEMU printed when it ends instead of answering. */
async function openQmp(
  started: Started,
  options: LaunchOptions,
  findPid: () => Promise<ProcessId>,
): Promise<[QmpClient, ProcessId]> {
  const exited = new AbortController();
  const signal = AbortSignal.any([options.signal, exited.signal]);
  void started.ended.then((how) => {
    exited.abort(
      new RunnerError("start-failed", `QEMU did not start (${how}): ${started.stderr() || "no message"}`),
    );
  });
  try {
    const socket = await connectWhenReady(join(options.runtimeDir, QMP_SOCKET), {
      timeoutMs: options.timeoutMs,
      signal,
    });
    return await Promise.all([QmpClient.open(socket, { signal }), findPid()]);
  } catch (error) {
    // Its socket closes a moment before it is seen to have ended.
    await Promise.race([started.ended, new Promise((resolve) => setTimeout(resolve, EXIT_NOTICE_MS))]);
    signal.throwIfAborted();
    throw error;
  }
}

/**
 * The node to show as /dev/kvm. A machine's own uid may open the host's only where everybody may; elsewhere it gets a node of its own
 * in the runtime folder, which the jail alone makes usable.
 */
async function deviceFor(uid: number | undefined, runtimeDir: string): Promise<string> {
  const device = await stat("/dev/kvm");
  if (uid === undefined || (device.mode & 0o006) === 0o006) return "/dev/kvm";
  const node = join(runtimeDir, "kvm");
  const [major, minor] = [(device.rdev >> 8) & 0xfff, device.rdev & 0xff];
  const command = ["-m", "0600", node, "c", String(major), String(minor)];
  await runTool("mknod", command, { timeoutMs: 5_000, debianPackage: "coreutils" });
  await chown(node, uid, uid);
  return node;
}

async function killStarted(started: Started, infoPath: string | undefined): Promise<void> {
  const pid = infoPath === undefined ? undefined : await readJailPid(infoPath);
  for (const target of [pid, started.child.pid]) {
    if (target === undefined || started.child.exitCode !== null || started.child.signalCode !== null)
      continue;
    try {
      process.kill(target, "SIGKILL");
    } catch {
      // It ended by itself.
    }
  }
  if (started.child.pid !== undefined) await started.ended;
}
