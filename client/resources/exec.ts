import type { Exec as ExecInfo, ExecRequest, WaitResult } from "../../api/schema.ts";
import { type ApiCalls, type CallOptions, withQuery } from "../api-calls.ts";
import type { AttachTarget, ExecConnection, ExecHandlers } from "../channels.ts";
import { ThawError } from "../errors.ts";
import type { LogChunk, LogOptions } from "../logs.ts";
import { OutputQueue } from "../output-queue.ts";
import { sandboxPath } from "./sandbox-path.ts";

/** How a command is started. */
export interface StartOptions extends Omit<ExecRequest, "argv">, CallOptions {}

/** How an exec is joined. */
export type AttachOptions = Omit<AttachTarget, "sandbox" | "exec">;

/** A line of output, without its line end. Bytes that are not UTF-8 become U+FFFD. */
export interface OutputLine {
  channel: "stdout" | "stderr";
  text: string;
}

/** Output that is no longer kept. */
export interface DroppedOutput {
  channel: "stdout" | "stderr";
  droppedUntil: number;
}

/** Lines longer than this are cut. */
const MAX_LINE_CHARS = 1 << 20;

/** A command that is named by its id, whether it is there or not. */
export class ExecReference {
  protected readonly api: ApiCalls;
  /** The sandbox's id, or what it was named by. */
  readonly sandbox: string;
  readonly id: string;

  /** Made by `sandbox.execAt`. */
  constructor(api: ApiCalls, { sandbox, id }: { sandbox: string; id: string }) {
    this.api = api;
    this.sandbox = sandbox;
    this.id = id;
  }

  get(options?: CallOptions): Promise<ExecInfo> {
    return this.api.json({ method: "GET", path: this.#path(), ...options });
  }

  /** Sends a signal, e.g. `TERM`, to the command's process group, or to its whole tree. */
  signal(signal: string, options: CallOptions & { to?: "group" | "tree" } = {}): Promise<void> {
    const { to = "group", ...call } = options;
    return this.api.nothing({ method: "POST", path: this.#path("/signal"), json: { signal, to }, ...call });
  }

  /** Kills the command and all its processes. */
  kill(options?: CallOptions): Promise<void> {
    return this.signal("KILL", { to: "tree", ...options });
  }

  /** Waits for the command's end. @throws ThawError `timeout` after `timeoutMs` */
  async wait(options: CallOptions & { timeoutMs?: number } = {}): Promise<ExecInfo> {
    const { timeoutMs, ...call } = options;
    const query = { for: "exec", exec: this.id, timeoutMs: timeoutMs?.toString() };
    const path = withQuery(sandboxPath(this.sandbox, "/wait"), query);
    const how = { method: "GET", path, answerDeadlineMs: 0 } as const;
    const { exec } = await this.api.json<WaitResult>({ ...how, ...call });
    return exec ?? this.get(call);
  }

  /**
   * Reads the command's output, with its times, as far as it is kept: from its start, or as the options say.
   * @returns the command as it was at the end of the log
   */
  async *logs(options: LogOptions = {}): AsyncGenerator<LogChunk | DroppedOutput, ExecInfo> {
    const { signal } = options;
    const { readLog } = await import("../logs.ts");
    const path = this.#path("/logs");
    return yield* readLog(
      (query) => this.api.send({ method: "GET", path: withQuery(path, query), signal }),
      options,
    );
  }

  /** Joins the command: its streams over one connection, with a handler for each. */
  async attach(options: AttachOptions & ExecHandlers = {}): Promise<ExecConnection> {
    const { stdout, stderr, onStatus, onBroken, signal, ...how } = options;
    const target = { ...how, sandbox: this.sandbox, exec: this.id };
    const handlers: ExecHandlers = { signal };
    if (stdout !== undefined) handlers.stdout = stdout;
    if (stderr !== undefined) handlers.stderr = stderr;
    if (onStatus !== undefined) handlers.onStatus = onStatus;
    if (onBroken !== undefined) handlers.onBroken = onBroken;
    return this.api.transport.connect({ attach: target }, handlers);
  }

  #path(rest = ""): string {
    return sandboxPath(this.sandbox, `/execs/${encodeURIComponent(this.id)}${rest}`);
  }
}

type Channel = "stdout" | "stderr";

/**
 * A command that was started. Its output is read once, by `stdout` and `stderr`, or by `lines`. A reader that is slow holds the command up.
 * A channel that nobody reads holds nothing up. Output that is not kept any more ends a reader with an error, where it is missing.
 */
export class Exec extends ExecReference {
  /** The command as it was when it was started. */
  readonly info: ExecInfo;
  readonly #writer: boolean;
  readonly #queues = new Map<Channel, OutputQueue<Uint8Array>>();
  #connection: Promise<ExecConnection> | undefined;

  /** Made by `sandbox.start`. */
  constructor(api: ApiCalls, info: ExecInfo, options: { writer: boolean }) {
    super(api, { sandbox: info.sandbox, id: info.id });
    this.info = info;
    this.#writer = options.writer;
  }

  /** What the command writes to stdout, as it does. */
  get stdout(): AsyncIterable<Uint8Array> {
    return { [Symbol.asyncIterator]: () => this.#read("stdout") };
  }

  /** What the command writes to stderr, as it does. */
  get stderr(): AsyncIterable<Uint8Array> {
    return { [Symbol.asyncIterator]: () => this.#read("stderr") };
  }

  /** Lines of both channels, each channel's in order. Read instead of `stdout` and `stderr`. */
  async *lines(): AsyncGenerator<OutputLine, void> {
    const lines = new OutputQueue<{ line: OutputLine; length: number }>();
    const read = async (channel: Channel): Promise<void> => {
      for await (const text of splitLines(this[channel])) {
        const room = lines.push({ line: { channel, text }, length: text.length });
        if (room !== undefined) await room;
      }
    };
    Promise.all([read("stdout"), read("stderr")]).then(
      () => lines.end(),
      (error: unknown) => lines.end(error),
    );
    for await (const { line } of lines) yield line;
  }

  /** Writes to the command's stdin; it was started with `stdin: true`. Resolves when more may be written. */
  async write(data: string | Uint8Array): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    await (await this.#connect()).writeStdin(bytes);
  }

  /** Ends the command's stdin. */
  async endStdin(): Promise<void> {
    (await this.#connect()).endStdin();
  }

  /** Tells the new size of a command's terminal. */
  async resize(size: { rows: number; cols: number }): Promise<void> {
    (await this.#connect()).resize(size);
  }

  #read(channel: Channel): AsyncGenerator<Uint8Array, void> {
    // The connection is there already and threw this channel away: what is kept of it is read.
    if (this.#connection !== undefined || this.#queues.has(channel)) return this.#readLog(channel);
    const queue = new OutputQueue<Uint8Array>();
    this.#queues.set(channel, queue);
    // Once the caller has taken all the readers that it takes now.
    queueMicrotask(() => {
      this.#connect().catch(() => {});
    });
    return queue[Symbol.asyncIterator]();
  }

  async *#readLog(channel: Channel): AsyncGenerator<Uint8Array, void> {
    for await (const piece of this.logs({ follow: true })) {
      if (piece.channel !== channel) continue;
      if (!("data" in piece)) throw missing(channel, piece.droppedUntil);
      yield piece.data;
    }
  }

  #connect(): Promise<ExecConnection> {
    this.#connection ??= this.#open();
    return this.#connection;
  }

  async #open(): Promise<ExecConnection> {
    const take = (channel: Channel) => (chunk: Uint8Array) => this.#queues.get(channel)?.push(chunk);
    const end = (error?: unknown): void => {
      for (const queue of this.#queues.values()) queue.end(error);
    };
    try {
      const connection = await this.attach({
        stdin: this.#writer,
        stdout: take("stdout"),
        stderr: take("stderr"),
        onStatus: (message) => {
          if (message.type !== "dropped") return;
          const channel = message.channel === "out" ? "stdout" : "stderr";
          this.#queues.get(channel)?.end(missing(channel, message.offset));
        },
      });
      connection.result.then(() => end(), end);
      return connection;
    } catch (error) {
      end(error);
      throw error;
    }
  }
}

function missing(channel: Channel, offset: number): ThawError {
  return new ThawError("conflict", `output is missing here: ${channel} goes on at byte ${offset}`, {
    hint: "logs() reads all that is kept, and tells each gap",
  });
}

async function* splitLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = (lines.pop() ?? "").slice(0, MAX_LINE_CHARS);
    yield* lines;
  }
  if (rest !== "") yield rest;
}
