/**
 * Reaching a machine and its agent when either may not answer: after another daemon, after a session that broke. One that does not answer is
 * unresponsive and is asked again, with growing pauses, for as long as it lives. Only a guest that breaks the protocol is ended.
 */
import { paced } from "../../host/pace.ts";
import { AgentRefusal, SessionError } from "../../runners/agent/errors.ts";
import { type MachineEnd, RunnerError } from "../../runners/runner.ts";
import { EngineError } from "../errors.ts";
import { Retry } from "../retry.ts";
import type { ExecTable } from "./exec-table.ts";
import type { MachineLink } from "./machine-link.ts";
import type { SandboxRecord } from "./record.ts";
import { isOver } from "./state.ts";

/** A guest left behind by another daemon may have a backlog to write first. */
const HELLO_DEADLINE_MS = 10_000;
/** The machine itself: longer than its runner waits for an answer. */
const MACHINE_DEADLINE_MS = 20_000;
/** A session that ends sooner than this is not made again at once. */
const SHORT_SESSION_MS = 1_000;

/** What it needs of its sandbox. */
export interface ReachHost {
  readonly record: SandboxRecord;
  /** The machine answers, and where it runs its agent does too. */
  reached(state: "running" | "paused"): Promise<void>;
  /** It does not answer now. */
  unreached(reason: string): Promise<void>;
  failed(reason: string): Promise<void>;
  ended(end: MachineEnd): Promise<void>;
}

export class Reach {
  readonly #host: ReachHost;
  readonly #link: MachineLink;
  readonly #execs: ExecTable;
  readonly #retry = new Retry(() => this.#again());
  readonly #leaving = new AbortController();
  #attempt: Promise<boolean> | null = null;
  #connectedAt = 0;

  constructor(host: ReachHost, parts: { link: MachineLink; execs: ExecTable }) {
    this.#host = host;
    this.#link = parts.link;
    this.#execs = parts.execs;
  }

  /** Tries once, together with a try under way. Never rejects: what it came to is in the record. */
  async try(): Promise<void> {
    await this.#tryOnce();
  }

  /** A session ended that nobody closed. */
  async lost(why: SessionError): Promise<void> {
    if (why.kind === "fault") return this.#host.failed(`its agent broke the protocol: ${why.message}`);
    if (performance.now() - this.#connectedAt >= SHORT_SESSION_MS) return this.try();
    await this.#host.unreached("its agent ended the session as soon as there was one");
    this.#retry.start();
  }

  /** For good: it is removed, or the daemon leaves. */
  stop(): void {
    this.#retry.stop();
    this.#leaving.abort();
  }

  async #again(): Promise<boolean> {
    const { record } = this.#host;
    if (record.state !== "unresponsive" || record.machine === null) return true;
    return this.#tryOnce();
  }

  #tryOnce(): Promise<boolean> {
    this.#attempt ??= this.#reach().finally(() => {
      this.#attempt = null;
    });
    return this.#attempt;
  }

  /** @returns whether nothing is left to try */
  async #reach(): Promise<boolean> {
    const { record } = this.#host;
    const { signal } = this.#leaving;
    try {
      const state = await within(MACHINE_DEADLINE_MS, this.#machineState());
      if (state === "ended") return true;
      if (state === "running" && this.#link.agent === null) {
        const machine = this.#link.needMachine(record);
        const agent = await this.#link.connect(machine, { deadlineMs: HELLO_DEADLINE_MS, signal });
        this.#connectedAt = performance.now();
        await this.#execs.resume(agent);
      }
      if (!signal.aborted && !isOver(record.state)) await this.#host.reached(state);
      return true;
    } catch (error) {
      return this.#settle(error as Error);
    }
  }

  async #settle(error: Error): Promise<boolean> {
    if (this.#leaving.signal.aborted || isOver(this.#host.record.state)) return true;
    if (error instanceof RunnerError && error.code === "machine-gone") {
      // A machine that was taken up says itself how it ended.
      if (this.#link.machine === null)
        await this.#host.ended(error.end ?? { kind: "exited", detail: error.message });
      return true;
    }
    if (error instanceof SessionError && error.kind === "fault") {
      await this.#host.failed(`its agent broke the protocol: ${error.message}`);
      return true;
    }
    if (error instanceof EngineError && error.code === "agent-fault") {
      await this.#host.failed(error.message);
      return true;
    }
    if (error instanceof AgentRefusal) this.#link.hangUp();
    await this.#host.unreached(error.message);
    this.#retry.start();
    return false;
  }

  async #machineState(): Promise<"running" | "paused" | "ended"> {
    const { record } = this.#host;
    const known = this.#link.machine;
    if (known) return known.state();
    if (record.machine === null) return "ended";
    const machine = await this.#link.adopt(record.machine);
    return machine.state();
  }
}

/** Rejects when `work` takes longer; what it then comes to is not waited for. */
async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const waitMs = paced(ms);
    const error = new RunnerError("timeout", `its machine did not answer within ${waitMs} ms`);
    timer = setTimeout(reject, waitMs, error);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    work.catch(() => {});
  }
}
