/** A live sandbox: its machine, the session with its agent, and its execs. One state machine; refused transitions say what is allowed. */
import { randomBytes } from "node:crypto";
import { EventEmitter } from "node:events";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Agent } from "../../runners/agent/agent.ts";
import type { SessionError } from "../../runners/agent/errors.ts";
import type { StartParams } from "../../runners/agent/messages.ts";
import type {
  Difference,
  DifferenceFiles,
  Isolation,
  LiveFreeze,
  LiveFreezeSpec,
  Machine,
  MachineEnd,
  Runner,
  SnapshotFiles,
} from "../../runners/runner.ts";
import { EngineError } from "../errors.ts";
import { Exec } from "../execs/exec.ts";
import { type ExecRecord, execRecord } from "../execs/record.ts";
import { readRecord, writeWhole } from "../files.ts";
import { freshIdentity } from "./identity.ts";
import type { SandboxRecord } from "./record.ts";

const HELLO_DEADLINE_MS = 15_000;
/** A guest left behind by another daemon may have a backlog to write first. */
const ADOPT_DEADLINE_MS = 20_000;
const CONSOLE_TAIL_CHARS = 2000;
/** Finished execs kept with their logs, per sandbox. */
const KEPT_EXECS = 100;

export interface ExecParams extends Omit<StartParams, "id"> {
  id?: string | undefined;
  timeoutMs?: number | undefined;
}

interface SandboxEvents {
  /** Its machine ended or its agent broke the protocol; the record says why. */
  ended: [];
}

export interface ThawOptions {
  signal?: AbortSignal;
  /** What a machine of the snapshot had become. */
  difference?: DifferenceFiles | undefined;
  /** It was frozen while it ran, so its agent may be in the middle of a frame. */
  frozenLive?: boolean;
}

export class Sandbox extends EventEmitter<SandboxEvents> {
  readonly record: SandboxRecord;
  readonly dir: string;
  readonly execs = new Map<string, Exec>();
  readonly #runner: Runner;
  #machine: Machine | null = null;
  #agent: Agent | null = null;
  #removed = false;

  constructor(dir: string, record: SandboxRecord, runner: Runner) {
    super();
    this.dir = dir;
    this.record = record;
    this.#runner = runner;
  }

  get id(): string {
    return this.record.id;
  }

  get isolation(): Isolation {
    return this.#machine?.record.isolation ?? this.record.machine?.isolation ?? "emulated (not jailed)";
  }

  /** Makes the machine and waits for its agent. On failure nothing is left but the caller's folder. */
  async thaw(snapshot: SnapshotFiles, options: ThawOptions = {}): Promise<void> {
    const { signal, difference } = options;
    const spec = { id: this.id, stateDir: this.dir, snapshot, difference };
    const machine = await this.#runner.thaw(spec, signal);
    try {
      this.#take(machine);
      await this.#greet(machine, {
        identity: freshIdentity(this.record.name),
        guestIsBetweenFrames: options.frozenLive !== true,
        deadlineMs: HELLO_DEADLINE_MS,
        ...(signal ? { signal } : {}),
      });
    } catch (error) {
      const text = await machine.console().catch(() => "");
      await machine.stop();
      throw Object.assign(error as Error, { console: text.slice(-CONSOLE_TAIL_CHARS) });
    }
    this.record.state = "running";
  }

  /** Takes up the machine of an earlier daemon, with its execs. A dead one becomes `failed`, with the reason. */
  async adopt(): Promise<void> {
    await this.#restoreExecs();
    if (this.record.machine === null || this.record.state === "stopped" || this.record.state === "failed")
      return;
    let machine: Machine;
    try {
      machine = await this.#runner.adopt(this.record.machine);
    } catch (error) {
      return this.#end(
        "failed",
        `its machine was gone when the daemon came back: ${(error as Error).message}`,
      );
    }
    this.#take(machine);
    const state = await machine.state();
    if (state === "ended") return;
    this.record.state = state;
    if (state === "running") await this.#reconnect(machine);
  }

  /** Starts an exec. The same id twice answers with the first. `watch` gets it before it starts, so that no output is missed. */
  async exec(params: ExecParams, watch?: (exec: Exec) => void): Promise<Exec> {
    const known = params.id === undefined ? undefined : this.execs.get(params.id);
    if (known) return known;
    const agent = this.#needAgent("exec");
    const { id = randomId(), timeoutMs, ...request } = params;
    const { defaults } = this.record;
    const record: ExecRecord = {
      id,
      sandbox: this.id,
      argv: request.argv,
      envNames: Object.keys(request.env ?? {}),
      cwd: request.cwd ?? null,
      user: request.user ?? null,
      tty: request.tty !== undefined,
      state: "starting",
      startedAt: new Date().toISOString(),
      endedAt: null,
      deadline: timeoutMs === undefined ? null : new Date(Date.now() + timeoutMs).toISOString(),
      timedOut: false,
      exit: null,
      error: null,
    };
    const exec = await Exec.create(this.#execDir, record);
    this.execs.set(id, exec);
    void this.#dropOldExecs();
    watch?.(exec);
    await exec.start(agent, {
      ...request,
      env: { ...defaults.env, ...request.env },
      cwd: request.cwd ?? defaults.workdir,
      user: request.user ?? defaults.user,
    });
    return exec;
  }

  /** The agent, for files and ports. Throws `conflict` when the sandbox is not running. */
  agentFor(verb: string): Agent {
    return this.#needAgent(verb);
  }

  async pause(): Promise<void> {
    this.#allow("pause", ["running"]);
    await this.#needMachine().pause();
    await this.#become("paused", null);
  }

  async resume(): Promise<void> {
    this.#allow("resume", ["paused"]);
    const machine = this.#needMachine();
    await machine.resume();
    if (!this.#agent) await this.#reconnect(machine);
    await this.#become("running", null);
  }

  /** Throws `conflict` when the sandbox is not in a state to be frozen or forked. */
  allowLive(verb: "freeze" | "fork"): void {
    this.#allow(verb, ["running", "paused"]);
  }

  /** Makes a snapshot's files of the machine, which goes on. */
  async freezeLive(spec: LiveFreezeSpec, signal?: AbortSignal): Promise<LiveFreeze> {
    this.allowLive("freeze");
    return this.#needMachine().freezeLive(spec, signal);
  }

  /** Writes how the machine differs from its snapshot; it goes on. */
  async takeDifference(dir: string, signal?: AbortSignal): Promise<Difference> {
    this.allowLive("fork");
    return this.#needMachine().takeDifference(dir, signal);
  }

  async stats(): Promise<{ pssBytes: number; rssBytes: number; cpuMs: number }> {
    return this.#needMachine().stats();
  }

  /** Ends the machine and removes all that is on disk. Idempotent. */
  async remove(): Promise<void> {
    if (this.#removed) return;
    this.#removed = true;
    const reason = new EngineError("cancelled", `sandbox ${this.record.name} was removed`);
    await Promise.all([...this.execs.values()].map((exec) => exec.fail(reason)));
    this.#agent?.close();
    // Out of sight first: a crash from here on leaves a folder that the next start clears.
    const grave = join(dirname(this.dir), `.${basename(this.dir)}`);
    if (this.#machine) await this.#machine.stop();
    else await this.#runner.clear({ id: this.id, stateDir: this.dir });
    await Promise.all([...this.execs.values()].map((exec) => exec.close()));
    await rename(this.dir, grave).catch(() => {});
    await rm(grave, { recursive: true, force: true });
  }

  /** The daemon leaves; the machine goes on. */
  async letGo(): Promise<void> {
    for (const exec of this.execs.values()) await exec.close();
    this.#agent?.close();
    this.#machine?.detach();
  }

  async persist(): Promise<void> {
    if (!this.#removed) await writeWhole(join(this.dir, "record.json"), `${JSON.stringify(this.record)}\n`);
  }

  get #execDir(): string {
    return join(this.dir, "execs");
  }

  #take(machine: Machine): void {
    this.#machine = machine;
    this.record.machine = machine.record;
    machine.onEnd((end) => void this.#ended(machine, end));
  }

  async #greet(machine: Machine, options: Parameters<typeof Agent.connect>[1]): Promise<void> {
    const agent = await Agent.connect(await machine.connect(options.signal), options);
    this.#agent = agent;
    void agent.session.ended.then((why) => this.#sessionOver(agent, why));
  }

  async #reconnect(machine: Machine): Promise<void> {
    try {
      await this.#greet(machine, { deadlineMs: ADOPT_DEADLINE_MS });
      const agent = this.#needAgentNow();
      await Promise.all([...this.execs.values()].map((exec) => exec.resume(agent)));
    } catch (error) {
      if (!this.#removed) await this.#end("failed", (error as Error).message);
    }
  }

  /** A guest that breaks the protocol is ended; a connection that merely closed is made again. */
  async #sessionOver(agent: Agent, why: SessionError): Promise<void> {
    if (this.#agent !== agent) return;
    this.#agent = null;
    for (const exec of this.execs.values()) exec.detach();
    if (this.#removed || this.record.state !== "running") return;
    const machine = this.#machine;
    if (why.kind === "fault" || !machine)
      return this.#end("failed", `its agent broke the protocol: ${why.message}`);
    if ((await machine.state().catch(() => "ended")) === "running") await this.#reconnect(machine);
  }

  async #ended(machine: Machine, end: MachineEnd): Promise<void> {
    if (this.#removed) return;
    switch (end.kind) {
      case "disk-full":
        return this.#become(
          "paused",
          `paused: the host's disk is full (${end.detail}); free some space, then thaw resume ${this.record.name}`,
        );
      case "powered-off":
        return this.#end("stopped", "the guest powered off");
      case "rebooted":
        return this.#end("stopped", "the guest asked for a reboot");
      case "panicked":
        return this.#end(
          "failed",
          `the guest's kernel panicked: ${lastLine(await machine.console().catch(() => ""))}`,
        );
      case "exited":
        return this.#end("failed", `its machine ended: ${end.detail}`);
    }
  }

  async #end(state: "stopped" | "failed", reason: string): Promise<void> {
    if (this.record.state === "stopped" || this.record.state === "failed") return;
    this.record.state = state;
    this.record.reason = reason;
    this.#agent?.close();
    this.#agent = null;
    const error = new EngineError("machine-ended", `sandbox ${this.record.name} is ${state}: ${reason}`);
    await Promise.all([...this.execs.values()].map((exec) => exec.fail(error)));
    await this.#machine?.stop().catch(() => {});
    await this.persist().catch(() => {});
    this.emit("ended");
  }

  async #become(state: "running" | "paused", reason: string | null): Promise<void> {
    this.record.state = state;
    this.record.reason = reason;
    await this.persist();
  }

  async #restoreExecs(): Promise<void> {
    for (const name of await readdir(this.#execDir).catch(() => [])) {
      if (!name.endsWith(".json") || name.startsWith(".")) continue;
      const record = await readRecord(join(this.#execDir, name), execRecord);
      if (record) this.execs.set(record.id, await Exec.restore(this.#execDir, record));
    }
  }

  async #dropOldExecs(): Promise<void> {
    const over = [...this.execs.values()].filter((exec) => exec.isOver);
    for (const exec of over.slice(0, Math.max(0, over.length - KEPT_EXECS))) {
      this.execs.delete(exec.record.id);
      await exec.remove();
    }
  }

  #allow(verb: string, states: SandboxRecord["state"][]): void {
    if (states.includes(this.record.state)) return;
    const { name, state } = this.record;
    throw new EngineError(
      "conflict",
      `can't ${verb} sandbox ${name}: it is ${state}${this.record.reason ? ` (${this.record.reason})` : ""}`,
      {
        hint:
          state === "paused"
            ? `thaw resume ${name}`
            : state === "running"
              ? `thaw pause ${name}`
              : `thaw rm ${name}`,
      },
    );
  }

  #needAgent(verb: string): Agent {
    this.#allow(verb, ["running"]);
    return this.#needAgentNow();
  }

  #needAgentNow(): Agent {
    if (!this.#agent)
      throw new EngineError("conflict", `the agent of sandbox ${this.record.name} is not reachable now`);
    return this.#agent;
  }

  #needMachine(): Machine {
    if (!this.#machine)
      throw new EngineError(
        "conflict",
        `sandbox ${this.record.name} has no machine: it is ${this.record.state}`,
      );
    return this.#machine;
  }
}

/** Ten characters of an alphabet without look-alikes. */
export function randomId(): string {
  const alphabet = "23456789abcdefghjkmnpqrstuvwxyz";
  return [...randomBytes(10)].map((byte) => alphabet[byte % alphabet.length]).join("");
}

export async function makeSandboxDir(dir: string): Promise<void> {
  await mkdir(dir, { mode: 0o711 });
  await mkdir(join(dir, "execs"), { mode: 0o700 });
}

function lastLine(text: string): string {
  return text.trimEnd().split("\n").at(-1) ?? "";
}
