/** One process tree in a sandbox: its streams, its end, its log. Survives the daemon through its record, its log and the guest's ring. */
import { EventEmitter, once } from "node:events";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Agent, ExecStream } from "../../runners/agent/agent.ts";
import { AgentRefusal, SessionError } from "../../runners/agent/errors.ts";
import { exitEvent, type StartParams } from "../../runners/agent/messages.ts";
import type { AgentStream, StreamHandlers } from "../../runners/agent/stream.ts";
import { EngineError, type ErrorCode } from "../errors.ts";
import { writeWhole } from "../files.ts";
import { ExecLog, type Output } from "./log.ts";
import type { ExecExit, ExecRecord } from "./record.ts";
import { type Reader, Subscriber } from "./subscriber.ts";

/** Beyond this lag of a reader that acknowledges, the guest is not acknowledged either, and so waits. */
const READER_WINDOW_BYTES = 4 << 20;
/** Between the polite signal and the one that can't be refused, after a timeout. */
const TIMEOUT_GRACE_MS = 1000;
/** A guest that has not told of the end by then is not waited for. */
const KILL_DEADLINE_MS = 10_000;

const REFUSALS: Partial<Record<AgentRefusal["kind"], ErrorCode>> = {
  "not-found": "exec-not-found",
  "not-executable": "exec-not-executable",
};

interface ExecEvents {
  ended: [];
  stdin: [offset: number];
}

export class Exec extends EventEmitter<ExecEvents> {
  readonly record: ExecRecord;
  readonly #dir: string;
  readonly #log: ExecLog;
  readonly #subscribers = new Set<Subscriber>();
  #agent: Agent | null = null;
  #stream: AgentStream | null = null;
  #held: { channel: Output; bytes: number; stream: AgentStream }[] = [];
  #timer: NodeJS.Timeout | undefined;
  #stdinSent = 0;

  private constructor(dir: string, record: ExecRecord, log: ExecLog) {
    super();
    this.setMaxListeners(0);
    this.#dir = dir;
    this.record = record;
    this.#log = log;
  }

  static async create(dir: string, record: ExecRecord): Promise<Exec> {
    const exec = new Exec(dir, record, await ExecLog.open(join(dir, record.id)));
    await exec.#persist();
    return exec;
  }

  /** From its record, after the daemon was away. */
  static async restore(dir: string, record: ExecRecord): Promise<Exec> {
    return new Exec(dir, record, await ExecLog.open(join(dir, record.id)));
  }

  get isOver(): boolean {
    return this.record.state === "exited" || this.record.state === "failed";
  }

  /** Bytes of stdin that were sent on, to go on from. */
  get stdinOffset(): number {
    return this.#stdinSent;
  }

  /** Starts it. Throws `exec-not-found`, `exec-not-executable` or `exec-refused`, recorded too. */
  async start(agent: Agent, params: Omit<StartParams, "id">): Promise<void> {
    this.#agent = agent;
    try {
      this.#take(await agent.start({ id: this.record.id, ...params }, this.#handlers()));
    } catch (error) {
      // Where the session is over, the next one tells what became of it.
      if (error instanceof SessionError && error.kind === "timeout")
        await this.fail(new EngineError("agent-timeout", error.message));
      if (!(error instanceof AgentRefusal)) throw error;
      const code = REFUSALS[error.kind] ?? "exec-refused";
      await this.fail(new EngineError(code, error.message));
      throw new EngineError(code, error.message, { cause: error });
    }
    if (this.isOver) return;
    this.record.state = "running";
    this.#arm();
    await this.#persist();
  }

  /** Takes it up in a new session: output goes on where the log ends. */
  async resume(agent: Agent): Promise<void> {
    this.#agent = agent;
    if (this.isOver) return;
    try {
      this.#take(
        await agent.attach({ id: this.record.id, out: this.#log.out, err: this.#log.err }, this.#handlers()),
      );
      this.#arm();
    } catch (error) {
      if (!(error instanceof AgentRefusal)) throw error;
      await this.fail(
        new EngineError("exec-refused", `the guest no longer knows this exec: ${error.message}`),
      );
    }
  }

  /** Lets go of the guest (the session is over); a later `resume` goes on. */
  detach(): void {
    clearTimeout(this.#timer);
    this.#stream = null;
    this.#agent = null;
    this.#held = [];
  }

  /** Sends output to a reader, from offsets on. Returns how to stop. */
  subscribe(reader: Reader, from: { out: number; err: number }): { stop(): void; ready: Promise<void> } {
    const subscriber = new Subscriber(this.#log, reader, from);
    this.#subscribers.add(subscriber);
    return {
      ready: subscriber.catchUp(),
      stop: () => {
        subscriber.stop();
        this.#subscribers.delete(subscriber);
        this.releaseHeld();
      },
    };
  }

  async writeStdin(bytes: Buffer): Promise<void> {
    const stream = this.#stream;
    if (!stream || stream.isClosed) return;
    await stream.write(bytes);
    this.#stdinSent += bytes.length;
    this.emit("stdin", this.#stdinSent);
  }

  endStdin(): void {
    this.#stream?.end();
  }

  async signal(signal: string, to: "group" | "tree"): Promise<void> {
    if (this.isOver) return;
    await this.#needAgent().signal(this.record.id, signal, to);
  }

  async resize(size: { rows: number; cols: number }): Promise<void> {
    if (!this.isOver) await this.#needAgent().resize(this.record.id, size);
  }

  async ended(signal?: AbortSignal): Promise<void> {
    if (!this.isOver) await once(this, "ended", signal ? { signal } : {});
  }

  /** Ends it from this side: it could not be started, or its machine is gone. */
  async fail(error: EngineError): Promise<void> {
    if (this.isOver) return;
    this.record.error = error.toJSON() as ExecRecord["error"];
    await this.#over("failed", null);
  }

  /** A reader has dealt with more: what was held back for it may go on. */
  releaseHeld(): void {
    if (this.#held.length === 0 || this.#lag() > READER_WINDOW_BYTES) return;
    const held = this.#held;
    this.#held = [];
    for (const { channel, bytes, stream } of held) stream.consume(channel, bytes);
  }

  async close(): Promise<void> {
    this.detach();
    await this.#log.close();
  }

  async remove(): Promise<void> {
    await this.close();
    await rm(join(this.#dir, this.record.id), { recursive: true, force: true });
    await rm(join(this.#dir, `${this.record.id}.json`), { force: true });
  }

  #handlers(): StreamHandlers {
    return {
      onData: (channel, piece) => this.#output(channel, piece),
      onEvent: (event) => {
        const exit = exitEvent.safeParse(event);
        if (exit.success) void this.#exited(exit.data);
      },
    };
  }

  #take({ stream, in: taken }: ExecStream): void {
    this.#stream = stream;
    this.#stdinSent = taken;
  }

  #output(channel: Output, piece: Buffer): void {
    const stream = this.#stream;
    const entry = this.#log.append(channel, piece, () => this.#stored(channel, piece.length, stream));
    for (const subscriber of this.#subscribers) subscriber.take(entry);
  }

  #stored(channel: Output, bytes: number, stream: AgentStream | null): void {
    // The first output may arrive before `start` has returned the stream.
    const from = stream ?? this.#stream;
    if (!from) return;
    if (this.#held.length === 0 && this.#lag() <= READER_WINDOW_BYTES) return from.consume(channel, bytes);
    const held = this.#held.find((one) => one.channel === channel && one.stream === from);
    if (held) held.bytes += bytes;
    else this.#held.push({ channel, bytes, stream: from });
  }

  #lag(): number {
    let most = 0;
    for (const { reader } of this.#subscribers) most = Math.max(most, reader.lag());
    return most;
  }

  async #exited(exit: {
    code: number | null;
    signal: string | null;
    oom: boolean;
    durationMs: number;
  }): Promise<void> {
    if (this.isOver) return;
    const { code, signal, oom, durationMs } = exit;
    await this.#over("exited", { code, signal, oom, durationMs, timedOut: this.record.timedOut });
  }

  async #over(state: "exited" | "failed", exit: ExecExit | null): Promise<void> {
    clearTimeout(this.#timer);
    this.record.state = state;
    this.record.exit = exit;
    this.record.endedAt = new Date().toISOString();
    this.emit("ended");
    await this.#log.flush();
    await this.#persist();
    // Only now may the guest drop what it still holds.
    if (state === "exited") await this.#agent?.forget(this.record.id).catch(() => {});
  }

  #arm(): void {
    const { deadline } = this.record;
    if (deadline === null) return;
    const left = Date.parse(deadline) - Date.now();
    this.#timer = setTimeout(() => void this.#timeOut(), Math.max(0, Math.min(left, 0x7fff_ffff)));
  }

  async #timeOut(): Promise<void> {
    if (this.record.deadline && Date.parse(this.record.deadline) > Date.now() + 1000) return this.#arm();
    this.record.timedOut = true;
    await this.#persist();
    this.signal("TERM", "tree").catch(() => {});
    this.#timer = setTimeout(() => {
      this.signal("KILL", "tree").catch(() => {});
      this.#timer = setTimeout(() => void this.#abandon(), KILL_DEADLINE_MS);
    }, TIMEOUT_GRACE_MS);
  }

  /** Time is up whether or not the guest says that its program ended. */
  async #abandon(): Promise<void> {
    if (this.isOver) return;
    const durationMs = Date.now() - Date.parse(this.record.startedAt);
    await this.#over("exited", { code: null, signal: null, oom: false, timedOut: true, durationMs });
  }

  #needAgent(): Agent {
    if (!this.#agent)
      throw new EngineError("conflict", `the sandbox of exec ${this.record.id} is not reachable now`);
    return this.#agent;
  }

  async #persist(): Promise<void> {
    await writeWhole(join(this.#dir, `${this.record.id}.json`), `${JSON.stringify(this.record)}\n`).catch(
      () => {},
    );
  }
}
