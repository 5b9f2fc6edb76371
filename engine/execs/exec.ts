/** One process tree in a sandbox: its streams, its end, its log. Survives the daemon through its record, its log and the guest's ring. */

import { EventEmitter, once } from "node:events";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { ErrorCode } from "../../api/error-codes.ts";
import type { ExecExit } from "../../api/exec.ts";
import { exitCodeOf } from "../../api/exit-code.ts";
import { paced } from "../../host/pace.ts";
import type { Agent, ExecHandlers, ExecStream } from "../../runners/agent/agent.ts";
import { AgentRefusal, SessionError } from "../../runners/agent/errors.ts";
import { type Crash, crashEvent, exitEvent, type StartParams } from "../../runners/agent/messages.ts";
import type { AgentStream } from "../../runners/agent/stream.ts";
import { EngineError } from "../errors.ts";
import { Retry } from "../retry.ts";
import { Mask } from "../secrets/mask.ts";
import type { SecretMatcher } from "../secrets/matcher.ts";
import { readRecord, valueOrNull, writeRecord } from "../state/record.ts";
import { type Attributes, doingFor, type Span } from "../tracing.ts";
import { type Ending, endingOf, wantsCapture } from "./ending.ts";
import { ExecLog, type Output } from "./log.ts";
import { type ExecRecord, execKind } from "./record.ts";
import { type RecordedRequest, requestKind } from "./request.ts";
import { type Reader, Subscriber } from "./subscriber.ts";
import type { PendingCapture } from "./taken.ts";

/** Beyond this lag of a reader that acknowledges, the guest is not acknowledged either, and so waits. */
const READER_WINDOW_BYTES = 4 << 20;
/** Between the polite signal and the one that can't be refused, after a timeout. */
const TIMEOUT_GRACE_MS = 1000;
/** A timer can't be longer. */
const LONGEST_TIMER_MS = 0x7fff_ffff;
/** A guest that has not told of the end by then is not waited for. */
const KILL_DEADLINE_MS = 10_000;

/** What ends a program when somebody gives up on it. */
const INTERRUPTIONS = new Set(["INT", "TERM", "KILL", "HUP", "QUIT"]);

const REFUSALS: Partial<Record<AgentRefusal["kind"], ErrorCode>> = {
  "not-found": "exec-not-found",
  "not-executable": "exec-not-executable",
};

interface ExecEvents {
  /** The guest has started it for this daemon; always before `ended`, however short it is. */
  started: [];
  ended: [];
  stdin: [offset: number];
}

export class Exec extends EventEmitter<ExecEvents> {
  readonly record: ExecRecord;
  readonly #dir: string;
  readonly #log: ExecLog;
  readonly #secrets: SecretMatcher | null;
  readonly #mask: Mask | null;
  readonly #subscribers = new Set<Subscriber>();
  /** For an end that a full disk did not take. */
  readonly #late = new Retry(() => this.#keepEnd());
  #agent: Agent | null = null;
  #stream: AgentStream | null = null;
  #held: { channel: Output; bytes: number; stream: AgentStream }[] = [];
  #timer: NodeJS.Timeout | undefined;
  #stdinSent = 0;
  /** It is being started, and nobody was told yet that it was. */
  #untold = false;
  /** From its start to its end; null: nobody follows it, or an earlier daemon started it. */
  span: Span | null = null;
  /** A client has sent a signal that ends programs. */
  #interrupted = false;
  /** Takes a capture of an end, before anything is torn down; the machine is as the end left it. Called for those that are wanted. */
  onEnding: ((ending: Ending) => Promise<ExecRecord["captured"]>) | null = null;
  /** Takes one of a process that the guest's kernel holds because it crashed. */
  onCrash: ((crash: Crash) => Promise<PendingCapture>) | null = null;
  #crash: Promise<PendingCapture | null> | null = null;
  #capturing: Promise<void> | null = null;
  /** Its end is being dealt with: a new session tells it again. */
  #exiting = false;
  /** Whether it could be started is known. */
  readonly #settled = Promise.withResolvers<void>();
  #neverStarted = false;

  private constructor(dir: string, record: ExecRecord, log: ExecLog, secrets: SecretMatcher | null) {
    super();
    this.setMaxListeners(0);
    this.#dir = dir;
    this.record = record;
    this.#log = log;
    this.#secrets = secrets;
    this.#mask = secrets && new Mask(secrets, (channel, piece) => this.#append(channel, piece));
  }

  /** @param secrets what its output is not to show */
  /** Rejects when it can't be recorded: after the daemon was killed, the next one would not know of it. */
  static async create(dir: string, record: ExecRecord, secrets: SecretMatcher | null): Promise<Exec> {
    const exec = await Exec.restore(dir, record, secrets);
    try {
      await exec.#write();
    } catch (error) {
      await exec.remove();
      throw error;
    }
    return exec;
  }

  /** From its record, after the daemon was away. */
  static async restore(dir: string, record: ExecRecord, secrets: SecretMatcher | null): Promise<Exec> {
    const log = await ExecLog.open(join(dir, record.id));
    // After a power loss less may be there than was written.
    if (record.output !== null) log.skipTo(record.output);
    return new Exec(dir, record, log, secrets);
  }

  get isOver(): boolean {
    return this.record.state === "exited" || this.record.state === "failed";
  }

  /** An earlier daemon recorded it and was killed before the guest heard of it: it may be started once more. */
  get neverStarted(): boolean {
    return this.#neverStarted;
  }

  /** Its output as it is kept. */
  get log(): ExecLog {
    return this.#log;
  }

  /** Bytes of stdin that were sent on, to go on from. */
  get stdinOffset(): number {
    return this.#stdinSent;
  }

  /** Starts it. Throws `exec-not-found`, `exec-not-executable` or `exec-refused`, recorded too. */
  async start(agent: Agent, params: Omit<StartParams, "id">): Promise<void> {
    this.#agent = agent;
    this.#untold = true;
    try {
      this.#take(await agent.start({ id: this.record.id, ...params }, this.#handlers()));
      this.#tellStarted();
    } catch (error) {
      // Where the session is over, the next one tells what became of it.
      if (error instanceof SessionError && error.kind === "timeout")
        await this.fail(new EngineError("agent-timeout", error.message));
      if (!(error instanceof AgentRefusal)) throw error;
      const code = REFUSALS[error.kind] ?? "exec-refused";
      const message = this.#secrets?.hide(error.message) ?? error.message;
      await this.fail(new EngineError(code, message));
      throw new EngineError(code, message, { cause: error });
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
      // The guest drops what is before these offsets.
      await this.#log.rewind();
      const { out, err } = this.#log;
      this.#take(await agent.attach({ id: this.record.id, out, err }, this.#handlers()));
      this.#arm();
    } catch (error) {
      if (!(error instanceof AgentRefusal)) throw error;
      this.#neverStarted = this.record.state === "starting" && error.kind === "not-found";
      await this.fail(
        new EngineError("exec-refused", `the guest no longer knows this exec: ${error.message}`),
      );
    }
  }

  /** Lets go of the guest (the session is over); a later `resume` goes on. */
  detach(): void {
    clearTimeout(this.#timer);
    // What it holds was not acknowledged: the guest tells it again.
    this.#mask?.reset();
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
    await this.startSettled();
    const stream = this.#stream;
    if (!stream || stream.isClosed) return;
    await stream.write(bytes);
    this.#stdinSent += bytes.length;
    this.emit("stdin", this.#stdinSent);
  }

  async endStdin(): Promise<void> {
    await this.startSettled();
    this.#stream?.end();
  }

  /** Resolves when it is known whether it started. Stdin may come before. */
  async startSettled(): Promise<void> {
    if (this.record.state === "starting" && !this.#stream) await this.#settled.promise;
  }

  /** What a client sends. */
  async signal(signal: string, to: "group" | "tree"): Promise<void> {
    if (this.isOver) return;
    this.#interrupted ||= INTERRUPTIONS.has(signal.replace(/^SIG/, ""));
    await this.#needAgent().signal(this.record.id, signal, to);
  }

  async resize(size: { rows: number; cols: number }): Promise<void> {
    if (!this.isOver) await this.#needAgent().resize(this.record.id, size);
  }

  /** Has a capture taken when this end is one that is wanted, once. Never fails: why there is none is recorded. */
  async capture(ending: Ending): Promise<void> {
    if (this.record.captured === null && wantsCapture(this.record.capture, ending))
      this.#capturing ??= this.#takeCapture(ending);
    await this.#capturing;
  }

  async #takeCapture(ending: Ending): Promise<void> {
    if (this.onEnding === null) return;
    const { onEnding } = this;
    this.record.captured = await this.#inSpan(() => onEnding(ending)).catch((error: Error) => ({
      error: error.message,
    }));
    await this.#persist();
  }

  #inSpan<T>(work: () => Promise<T>): Promise<T> {
    return doingFor(this.span?.traceparent ?? null, work);
  }

  /** Keeps what starts it again. */
  async keepRequest(request: RecordedRequest): Promise<void> {
    await writeRecord(this.#requestPath, requestKind, request, { survives: "daemon" });
  }

  /** What was kept; null when it was not to be captured, or can't be read: the capture is then one that can't be run again. */
  async request(): Promise<RecordedRequest | null> {
    return valueOrNull(await readRecord(this.#requestPath, requestKind));
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
    this.#late.stop();
    this.detach();
    await this.#log.close();
  }

  async remove(): Promise<void> {
    await this.close();
    await rm(join(this.#dir, this.record.id), { recursive: true, force: true });
    await rm(join(this.#dir, `${this.record.id}.json`), { force: true });
    await rm(this.#requestPath, { force: true });
  }

  /** Not `.json`: the records of a folder are those. */
  get #requestPath(): string {
    return join(this.#dir, `${this.record.id}.request`);
  }

  #handlers(): ExecHandlers {
    return {
      onOffsets: (offsets) => {
        for (const gap of this.#log.skipTo(offsets))
          for (const subscriber of this.#subscribers) subscriber.take(gap);
      },
      onData: (channel, piece) => this.#output(channel, piece),
      onEvent: (event) => {
        const exit = exitEvent.safeParse(event);
        if (exit.success) return void this.#exited(exit.data);
        const crash = crashEvent.safeParse(event);
        if (crash.success) this.#crashed(crash.data);
      },
    };
  }

  #take({ stream, in: taken }: ExecStream): void {
    this.#stream = stream;
    this.#stdinSent = taken;
    this.#settled.resolve();
  }

  #tellStarted(): void {
    if (!this.#untold) return;
    this.#untold = false;
    this.emit("started");
  }

  #output(channel: Output, piece: Buffer): void {
    if (this.#mask) this.#mask.take(channel, piece);
    else this.#append(channel, piece);
  }

  #append(channel: Output, piece: Buffer): void {
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
    if (this.isOver || this.#exiting) return;
    this.#exiting = true;
    this.#mask?.flush();
    const { code, signal, oom, durationMs } = exit;
    const how = { code, signal, oom, durationMs, timedOut: this.record.timedOut };
    await this.#settleCrash(how);
    await this.capture(endingOf(how, this.#interrupted));
    await this.#over("exited", how);
  }

  /** Frozen while the kernel holds it, then let go: the first one of an exec, whatever becomes of the exec. */
  #crashed(crash: Crash): void {
    const take = this.record.captured === null && this.#crash === null ? this.onCrash : null;
    const taken = take ? this.#inSpan(() => take(crash)).catch(() => null) : Promise.resolve(null);
    if (take) this.#crash = taken;
    void taken.then(() => this.#agent?.release(this.record.id, crash.pid)).catch(() => {});
  }

  /** A crash that the exec survived is nobody's failure. */
  async #settleCrash(exit: ExecExit): Promise<void> {
    const crash = await this.#crash;
    if (!crash) return;
    if (exit.code === 0 || this.record.captured !== null) return crash.discard();
    this.record.captured = await crash
      .confirm({ trigger: "signal", exit })
      .catch((error: Error) => ({ error: error.message }));
    await this.#persist();
  }

  async #over(state: "exited" | "failed", exit: ExecExit | null): Promise<void> {
    clearTimeout(this.#timer);
    this.#mask?.flush();
    this.record.state = state;
    this.record.exit = exit;
    this.record.output = { out: this.#log.out, err: this.#log.err };
    this.#settled.resolve();
    this.record.endedAt = new Date().toISOString();
    // the end of a short command may be handled before the answer to its start
    if (state === "exited") this.#tellStarted();
    this.span?.end(this.#endForSpan());
    this.emit("ended");
    if (!(await this.#keepEnd())) this.#late.start();
  }

  /** Answers whether its output and its end are on disk. Only then may the guest drop what it still holds. */
  async #keepEnd(): Promise<boolean> {
    if (!(await this.#log.flush())) return false;
    try {
      await this.#write();
    } catch {
      return false;
    }
    if (this.record.state === "exited") await this.#agent?.forget(this.record.id).catch(() => {});
    return true;
  }

  #endForSpan(): Attributes {
    const { exit, error } = this.record;
    if (error !== null) return { "error.type": error.code };
    if (exit === null) return {};
    const how = exit.signal === null ? {} : { "thaw.signal": exit.signal };
    return { ...how, "process.exit.code": exitCodeOf(exit), "thaw.timed_out": exit.timedOut };
  }

  #arm(): void {
    const { deadline } = this.record;
    if (deadline === null) return;
    const left = Date.parse(deadline) - Date.now();
    // Counted by the monotonic clock from here on: a clock that is set meanwhile neither shortens nor prolongs it.
    if (left > LONGEST_TIMER_MS) this.#timer = setTimeout(() => this.#arm(), LONGEST_TIMER_MS);
    else this.#timer = setTimeout(() => void this.#timeOut(), Math.max(0, left));
  }

  async #timeOut(): Promise<void> {
    this.record.timedOut = true;
    await this.#persist();
    await this.capture({ trigger: "timeout", exit: null });
    const send = (signal: string): void => {
      this.#agent?.signal(this.record.id, signal, "tree").catch(() => {});
    };
    send("TERM");
    this.#timer = setTimeout(() => {
      send("KILL");
      this.#timer = setTimeout(() => void this.#abandon(), paced(KILL_DEADLINE_MS));
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
      throw new EngineError("conflict", `the sandbox of exec ${this.record.id} can't be reached now`);
    return this.#agent;
  }

  async #write(): Promise<void> {
    // Its machine does not survive a power loss either.
    const survives = "daemon";
    await writeRecord(join(this.#dir, `${this.record.id}.json`), execKind, this.record, { survives });
  }

  async #persist(): Promise<void> {
    await this.#write().catch(() => {});
  }
}
