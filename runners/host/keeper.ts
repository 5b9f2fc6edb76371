/**
 * The keeper of a machine: the static program `thaw-keeper`, parent of its hypervisor. This process has it started, asks it, and never signals a
 * process of a machine itself. Its requests and answers are those of runners/native/src/protocol.rs.
 */
import { lstat, readFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { z } from "zod";
import { paced } from "../../host/pace.ts";
import { type MachineStats, RunnerError } from "../runner.ts";
import { deadlineSignal } from "./deadline.ts";
import { type JailOptions, jailArgv } from "./jail.ts";
import { END_FILE, KEEPER_SOCKET } from "./machine-dir.ts";
import type { KeeperStarter } from "./starter.ts";
import { runTool } from "./tool.ts";

/** Added to the own score of the kernel's out-of-memory killer, so that a machine goes before the one that looks after all of them. */
const MACHINE_OOM_SCORE = 500;
const START_TIMEOUT_MS = 20_000;
const ANSWER_TIMEOUT_MS = 3_000;
const KILL_TIMEOUT_MS = 5_000;
const MAX_ANSWER_BYTES = 256 * 1024;
/** There is no keeper: nobody listens, or there is not even a socket. */
const NO_KEEPER = ["ENOENT", "ECONNREFUSED"];

const keeperStatus = z.object({
  /** For information; only the keeper may signal it. */
  pid: z.int(),
  uid: z.int(),
  /** What enforces the limits: `cgroup v2`, `cgroup v1` or `rlimits`. */
  limits: z.string(),
  /** Null while the machine lives. */
  end: z
    .discriminatedUnion("kind", [
      z.object({ kind: z.literal("exit"), code: z.int() }),
      z.object({ kind: z.literal("signal"), signal: z.int() }),
      z.object({ kind: z.literal("out-of-memory") }),
    ])
    .nullable(),
  /** The last 8 KiB that it wrote to stderr. Untrusted. */
  stderr: z.string(),
});
export type KeeperStatus = z.infer<typeof keeperStatus>;

const statsAnswer = z.object({ pssBytes: z.number(), rssBytes: z.number(), cpuMs: z.number() });

export interface KeeperTools {
  /** The `thaw-keeper` program. */
  keeperPath: string;
  starter: KeeperStarter;
  /** Name of the cgroup that has all machines of this runner. */
  cgroup: string;
  /** Folder that holds one folder of sockets per machine. */
  runtimeRoot: string;
}

/** Starts a machine's keeper with its machine. @returns once the hypervisor is executed; on rejection nothing is left */
export async function startKeeper(
  tools: KeeperTools,
  options: JailOptions & { inherit: readonly number[] },
  outer: AbortSignal,
): Promise<KeeperStatus> {
  using deadline = deadlineSignal("the machine's keeper did not answer", START_TIMEOUT_MS, outer);
  const { signal } = deadline;
  const args = ["--oom", String(MACHINE_OOM_SCORE), "--inherit", String(options.inherit.length)];
  try {
    const line = await tools.starter.start([...args, ...jailArgv(options)], options.inherit, signal);
    signal.throwIfAborted();
    if (line === "") throw new RunnerError("start-failed", "the keeper ended without a message");
    const answer = parseAnswer(line);
    if (typeof answer.error === "string")
      throw new RunnerError("start-failed", `the machine did not start: ${answer.error.slice(0, 500)}`);
    return keeperStatus.parse(answer);
  } catch (error) {
    await new Keeper(tools, { id: options.id, runtimeDir: options.dir }).end().catch(() => {});
    await rm(options.dir, { recursive: true, force: true });
    throw error;
  }
}

/** Ends what killed keepers have left behind. @returns ids of machines of which processes are still there */
export async function sweep({ keeperPath, cgroup, runtimeRoot }: KeeperTools): Promise<string[]> {
  const text = await runTool(keeperPath, ["sweep", cgroup, runtimeRoot], {
    timeoutMs: 20_000,
    debianPackage: "thaw",
  });
  return text.split("\n").filter((line) => line !== "");
}

/** What limits machines on this host: `cgroup v2`, `cgroup v1` or `rlimits`. */
export async function limitsMechanism({ keeperPath, cgroup }: KeeperTools): Promise<string> {
  return (await runTool(keeperPath, ["limits", cgroup], { timeoutMs: 5_000, debianPackage: "thaw" })).trim();
}

export class Keeper {
  readonly #tools: KeeperTools;
  readonly #id: string;
  readonly #dir: string;

  constructor(tools: KeeperTools, machine: { id: string; runtimeDir: string }) {
    this.#tools = tools;
    this.#id = machine.id;
    this.#dir = machine.runtimeDir;
  }

  get socketPath(): string {
    return join(this.#dir, KEEPER_SOCKET);
  }

  /** Removes what is left of a machine of this id. Rejects with `start-failed` while one lives. */
  async makeWay(): Promise<void> {
    if ((await lstat(this.#dir).catch(() => undefined)) === undefined) return;
    const status = await this.status();
    if (status?.end === null)
      throw new RunnerError(
        "start-failed",
        `a machine ${this.#id} is running; machines have ids of their own`,
      );
    if (status !== undefined) await this.end();
    await rm(this.#dir, { recursive: true, force: true });
  }

  /** How the machine is; undefined when its keeper is gone, and the machine with it. Rejects with `unresponsive`. */
  async status(): Promise<KeeperStatus | undefined> {
    const answer = await this.#ask("status", ANSWER_TIMEOUT_MS);
    return answer === undefined ? undefined : keeperStatus.parse(answer);
  }

  /** How a machine ended whose keeper is gone; undefined when that was not written down. */
  async recordedEnd(): Promise<KeeperStatus | undefined> {
    const text = await readFile(join(this.#dir, END_FILE), "utf8").catch(() => undefined);
    const parsed = text === undefined ? undefined : keeperStatus.safeParse(parseAnswer(text));
    return parsed?.success ? parsed.data : undefined;
  }

  async stats(): Promise<MachineStats> {
    const answer = await this.#ask("stats", ANSWER_TIMEOUT_MS);
    return answer === undefined ? { pssBytes: 0, rssBytes: 0, cpuMs: 0 } : statsAnswer.parse(answer);
  }

  /** A machine that was started in the background has its full weight from now on. */
  async foreground(): Promise<void> {
    await this.#ask("foreground", ANSWER_TIMEOUT_MS);
  }

  /** Tells of the machine's end: its status, or undefined when its keeper went and did not say. Close it when it is no longer wanted. */
  watch(): { ended: Promise<KeeperStatus | undefined>; close(): void } {
    const request = open(this.#dir, "wait", undefined);
    const ended = request.answer
      .then((answer) => (answer === undefined ? this.recordedEnd() : keeperStatus.parse(answer)))
      .catch(() => this.recordedEnd());
    return { ended, close: request.close };
  }

  /**
   * Ends the machine, waits for that, and has its keeper forget it and remove its folder. May be repeated. Rejects with `timeout` when the
   * machine does not die, and with `unresponsive` when its keeper does not answer: then it is still there.
   */
  async end(): Promise<void> {
    const answer = await this.#ask(`kill ${paced(KILL_TIMEOUT_MS)}`, KILL_TIMEOUT_MS + ANSWER_TIMEOUT_MS);
    if (answer === undefined) {
      await this.#clearAbandoned();
      return;
    }
    const { end, pid } = keeperStatus.parse(answer);
    if (end === null) throw this.#stuck(`process ${pid}`);
    await this.#ask("forget", ANSWER_TIMEOUT_MS);
    await rm(this.#dir, { recursive: true, force: true });
  }

  /** Resolves once the machine has ended by itself, and its keeper has forgotten it. Rejects with `timeout`. */
  async ended(timeoutMs: number): Promise<void> {
    const watch = this.watch();
    let timer: NodeJS.Timeout | undefined;
    try {
      const late = new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => reject(this.#stuck("QEMU")), paced(timeoutMs));
      });
      await Promise.race([watch.ended, late]);
    } finally {
      clearTimeout(timer);
      watch.close();
    }
    await this.end();
  }

  /** The keeper was killed: the kernel kills its machine, and a cgroup shows whether it did. */
  async #clearAbandoned(): Promise<void> {
    const left = await sweep(this.#tools);
    if (left.includes(this.#id)) throw this.#stuck("a process without a keeper");
    await rm(this.#dir, { recursive: true, force: true });
  }

  #stuck(which: string): RunnerError {
    return new RunnerError(
      "timeout",
      `${which} of machine ${this.#id} did not end within ${paced(KILL_TIMEOUT_MS)} ms`,
    );
  }

  /** Undefined when there is no keeper. */
  async #ask(line: string, timeoutMs: number): Promise<Record<string, unknown> | undefined> {
    try {
      return await open(this.#dir, line, timeoutMs).answer;
    } catch (error) {
      if (error instanceof RunnerError) throw error;
      throw new RunnerError(
        "unresponsive",
        `the keeper of machine ${this.#id}: ${error instanceof Error ? error.message : String(error)}`,
        { cause: error },
      );
    }
  }
}

interface Request {
  /** The answer; undefined when there is no keeper, or when it went without answering. */
  answer: Promise<Record<string, unknown> | undefined>;
  close(): void;
}

/** One request on a connection of its own. The folder is the keeper's, so nobody else can have put a socket there. */
function open(dir: string, line: string, timeoutMs: number | undefined): Request {
  const waitMs = timeoutMs === undefined ? undefined : paced(timeoutMs);
  const socket = connect({ path: join(dir, KEEPER_SOCKET) });
  socket.unref();
  const answer = new Promise<Record<string, unknown> | undefined>((resolve, reject) => {
    let text = "";
    const timer =
      waitMs === undefined
        ? undefined
        : setTimeout(() => socket.destroy(new Error(`no answer within ${waitMs} ms`)), waitMs);
    socket.on("connect", () => socket.write(`${line}\n`));
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("utf8");
      if (text.includes("\n")) {
        resolve(parseAnswer(text));
        socket.destroy();
      } else if (text.length > MAX_ANSWER_BYTES) socket.destroy(new Error("an answer without an end"));
    });
    socket.once("error", (error: NodeJS.ErrnoException) =>
      NO_KEEPER.includes(error.code ?? "") || error.code === "ECONNRESET"
        ? resolve(undefined)
        : reject(error),
    );
    socket.once("close", () => {
      clearTimeout(timer);
      resolve(undefined);
    });
  });
  answer.catch(() => {});
  return { answer, close: () => socket.destroy() };
}

function parseAnswer(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text.split("\n")[0] ?? "");
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
