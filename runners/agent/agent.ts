/** What the engine asks of a guest: the agent's requests as typed calls. Errors: `AgentRefusal`, `SessionError`. */

import type { Duplex, Readable } from "node:stream";
import { z } from "zod";
import { defined } from "../../api/defined.ts";
import {
  crash,
  type FileEntry,
  type FolderListing,
  fileEntry,
  folderListing,
  treeReport,
} from "../../api/guest.ts";
import { paced } from "../../host/pace.ts";
import { duplexOf } from "./duplex.ts";
import { SessionError } from "./errors.ts";
import {
  type Crash,
  type Identity,
  listenOk,
  type Processes,
  portsLine,
  processesOk,
  quiesceOk,
  readOk,
  type StartParams,
  startOk,
  type Welcome,
  WORDS_FEATURE,
} from "./messages.ts";
import {
  EXEC_WINDOW_BYTES,
  MAX_PAYLOAD_BYTES,
  STREAM_WINDOW_BYTES,
  UPLOAD_WINDOW_BYTES,
} from "./protocol.ts";
import { AgentSession, type OpenOptions } from "./session.ts";
import type { AgentStream, StreamHandlers } from "./stream.ts";

const nothing = z.looseObject({});
const EXEC_SHAPE = { in: true, out: true, err: true, urgent: true, windowBytes: EXEC_WINDOW_BYTES };
const UPLOAD_SHAPE = { in: true, windowBytes: UPLOAD_WINDOW_BYTES };
const DOWNLOAD_SHAPE = { out: true, windowBytes: STREAM_WINDOW_BYTES };
const BOTH_SHAPE = { in: true, out: true, windowBytes: STREAM_WINDOW_BYTES };
/** Requests that need no work in the guest. Generous: an emulated guest under load is slow. */
const ANSWER_DEADLINE_MS = 30_000;
const CLOCK_DEADLINE_MS = 5_000;
const QUIESCE_DEADLINE_MS = 120_000;
const SYNC_SINCE_VERSION = 2;
/** Of a frame with a `start`, for all but its arguments and variables. */
const OTHER_FIELDS_BYTES = 8_192;

const MAX_PORTS_CHARS = 4_096;

function readJson<T extends z.ZodType>(line: string, schema: T): z.infer<T> | null {
  try {
    return schema.parse(JSON.parse(line));
  } catch {
    return null;
  }
}

export interface ExecHandlers extends StreamHandlers {
  /** Where its output goes on, before any of it comes: later than was asked for when the guest no longer has what was. */
  onOffsets?(offsets: { out: number; err: number }): void;
}

export interface ExecStream {
  stream: AgentStream;
  /** Offsets the channels go on from. */
  in: number;
  out: number;
  err: number;
}

export class Agent {
  readonly session: AgentSession;
  readonly welcome: Welcome;

  private constructor(session: AgentSession, welcome: Welcome) {
    this.session = session;
    this.welcome = welcome;
  }

  static async connect(duplex: Duplex, options: OpenOptions): Promise<Agent> {
    const { session, welcome } = await AgentSession.open(duplex, options);
    return new Agent(session, welcome);
  }

  /** Whether it takes a command that one frame does not hold: older agents don't. */
  get takesLongCommands(): boolean {
    return this.welcome.features.includes(WORDS_FEATURE);
  }

  /** Arguments and variables that one frame does not hold go ahead as bytes. */
  async start(params: StartParams, handlers: ExecHandlers): Promise<ExecStream> {
    if (!this.takesLongCommands || fitsFrame(params)) return this.#exec("start", params, handlers);
    const { argv, env = {}, ...rest } = params;
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const words = Buffer.from([...argv, ...variables].map((word) => `${word}\0`).join(""));
    await this.#upload("words", { id: params.id }, [words], nothing);
    return this.#exec("start", { ...rest, argv: [], words: argv.length }, handlers);
  }

  attach(params: { id: string; out: number; err: number }, handlers: ExecHandlers): Promise<ExecStream> {
    return this.#exec("attach", params, handlers);
  }

  async signal(id: string, signal: string, to: "group" | "tree" = "group"): Promise<void> {
    await this.#ask("signal", { id, signal, to }, nothing);
  }

  async resize(id: string, size: { rows: number; cols: number }): Promise<void> {
    await this.#ask("resize", { id, ...size }, nothing);
  }

  async forget(id: string): Promise<void> {
    await this.#ask("forget", { id }, nothing);
  }

  /** Lets a held crash (`crashEvent`) end as it would have. `not-found` when it is not held any more. */
  async release(id: string, pid: number): Promise<void> {
    await this.#ask("release", { id, pid }, nothing);
  }

  /** The ELF core of a held crash, the first when no pid is given. The process ends with the download, whole or not. */
  async core(pid?: number): Promise<Crash & { body: Duplex }> {
    const stream = this.session.open("core", defined({ pid }), { shape: DOWNLOAD_SHAPE });
    const body = duplexOf(stream);
    body.on("error", () => {});
    const ok = await this.#within(stream, stream.answer(crash), ANSWER_DEADLINE_MS);
    return { ...ok, body };
  }

  /** What runs in the guest and which TCP ports it listens on. */
  processes(deadlineMs = ANSWER_DEADLINE_MS): Promise<Processes> {
    return this.#ask("processes", {}, processesOk, deadlineMs);
  }

  stat(path: string): Promise<FileEntry> {
    return this.#ask("stat", { path }, fileEntry);
  }

  list(path: string, limit = 1000): Promise<FolderListing> {
    return this.#ask("list", { path, limit }, folderListing);
  }

  /** Unpacks a tree stream (docs/PROTOCOL.md) beneath `path`. */
  treeIn(path: string, source: AsyncIterable<Buffer>, user?: string): Promise<z.infer<typeof treeReport>> {
    return this.#upload("tree-in", { path, ...defined({ user }) }, source, treeReport);
  }

  async writeFile(path: string, source: Readable, mode?: number, user?: string): Promise<void> {
    const given = { ...defined({ mode, user }) };
    await this.#upload("write", { path, ...given }, source, nothing);
  }

  /** A tree stream of what is beneath `path`. A hostile guest's: parse it as such. `attributes`: the reader knows records of them. */
  async treeOut(path: string, attributes: boolean): Promise<Duplex> {
    const stream = this.session.open(
      "tree-out",
      { path, links: true, attributes },
      { shape: DOWNLOAD_SHAPE },
    );
    const duplex = duplexOf(stream);
    duplex.on("error", () => {});
    await this.#within(stream, stream.answer(nothing), ANSWER_DEADLINE_MS);
    return duplex;
  }

  async readFile(path: string): Promise<{ size: number; body: Duplex }> {
    const stream = this.session.open("read", { path, offset: 0 }, { shape: DOWNLOAD_SHAPE });
    const body = duplexOf(stream);
    body.on("error", () => {});
    const { size } = await this.#within(stream, stream.answer(readOk), ANSWER_DEADLINE_MS);
    return { size, body };
  }

  async dial(to: { port: number } | { path: string }): Promise<Duplex> {
    const stream = this.session.open("dial", to, { shape: BOTH_SHAPE });
    const duplex = duplexOf(stream);
    duplex.on("error", () => {});
    await this.#within(stream, stream.answer(nothing), ANSWER_DEADLINE_MS);
    return duplex;
  }

  /** Listens on 127.0.0.1 inside the guest. Accepted connections come to `session.offers.onAccepted` with the returned listener id. */
  async listen(port: number): Promise<{ listener: number; port: number; close(): void }> {
    const stream = this.session.open("listen", { port }, { shape: BOTH_SHAPE });
    const ok = await this.#within(stream, stream.answer(listenOk), ANSWER_DEADLINE_MS);
    return { listener: stream.id, port: ok.port ?? port, close: () => stream.reset("closed") };
  }

  /** Whether it knows `watchPorts` and `refuseNames`. */
  get tellsPorts(): boolean {
    return this.welcome.features.includes("ports");
  }

  /** Calls `onPorts` with all ports that programs listen at, now and whenever they change, until the session ends. */
  async watchPorts(onPorts: (ports: number[]) => void): Promise<void> {
    const stream = this.session.open("listening", {}, { shape: DOWNLOAD_SHAPE });
    const lines = duplexOf(stream);
    lines.on("error", () => {});
    await this.#within(stream, stream.answer(nothing), ANSWER_DEADLINE_MS);
    let partial = "";
    lines.on("data", (chunk: Buffer) => {
      const [last = "", ...whole] = `${partial}${chunk.toString("latin1")}`.split("\n").reverse();
      partial = last;
      if (partial.length > MAX_PORTS_CHARS) return void lines.destroy();
      for (const line of whole.reverse()) {
        const told = readJson(line, portsLine);
        if (told === null) return void lines.destroy();
        onPorts(told.ports);
      }
    });
  }

  /** Has the guest's resolver refuse names; `*.example.com`: all below it. */
  async refuseNames(names: readonly string[]): Promise<void> {
    await this.#ask("refuse", { names }, nothing);
  }

  /** Sets the guest's clock to the host's. An agent that is too old for that refuses with `unsupported`. */
  async stepClock(deadlineMs = CLOCK_DEADLINE_MS): Promise<void> {
    const timeNs = (BigInt(Date.now()) * 1_000_000n).toString();
    await this.#ask("clock", { timeNs }, nothing, deadlineMs);
  }

  /** Makes the guest ready to be frozen: synced, caches dropped, free memory zero. */
  async quiesce(): Promise<void> {
    await this.#ask("quiesce", {}, quiesceOk, QUIESCE_DEADLINE_MS);
  }

  /**
   * Has the guest write what its programs have written to the root's file system out to its disk. What they write meanwhile may be left out.
   * @returns false when its agent is too old to be asked
   */
  async sync(deadlineMs: number): Promise<boolean> {
    if (this.welcome.version < SYNC_SINCE_VERSION) return false;
    await this.#ask("sync", {}, nothing, deadlineMs);
    return true;
  }

  async ping(): Promise<void> {
    await this.#ask("ping", {}, nothing);
  }

  async powerOff(): Promise<void> {
    await this.#ask("poweroff", {}, nothing);
  }

  close(): void {
    this.session.close();
  }

  async #exec(op: "start" | "attach", params: object, handlers: ExecHandlers): Promise<ExecStream> {
    // Output may follow in the same chunk as the answer, so the offsets are set before anything is awaited.
    const onAnswer = (ok: object) => {
      const offsets = startOk.safeParse(ok);
      if (!offsets.success) return;
      stream.startAt(offsets.data, { in: STREAM_WINDOW_BYTES, output: EXEC_WINDOW_BYTES });
      handlers.onOffsets?.(offsets.data);
    };
    // A program that is gone reads no more: with its output over, the stream is.
    const ended = new Set<number>();
    const onEnd: StreamHandlers["onEnd"] = (channel) => {
      handlers.onEnd?.(channel);
      if (ended.add(channel).size === 2) stream.end();
    };
    const stream = this.session.open(op, params, {
      shape: EXEC_SHAPE,
      handlers: { ...handlers, onAnswer, onEnd },
    });
    const ok = await this.#within(stream, stream.answer(startOk), ANSWER_DEADLINE_MS);
    return { stream, in: ok.in, out: ok.out, err: ok.err };
  }

  #ask<T extends z.ZodType>(
    op: string,
    params: object,
    schema: T,
    deadlineMs = ANSWER_DEADLINE_MS,
  ): Promise<z.infer<T>> {
    const stream = this.session.open(op, params);
    return this.#within(stream, stream.answer(schema), deadlineMs);
  }

  async #upload<T extends z.ZodType>(
    op: string,
    params: object,
    source: AsyncIterable<Buffer> | Iterable<Buffer>,
    schema: T,
  ): Promise<z.infer<T>> {
    const stream = this.session.open(op, params, { shape: UPLOAD_SHAPE });
    const answer = stream.answer(schema);
    answer.catch(() => {});
    try {
      for await (const chunk of source) await stream.write(chunk);
    } catch (error) {
      // The guest may have answered early with an error: that one says more. Otherwise it is the source that broke.
      if (stream.isClosed) await answer;
      stream.reset("the upload was interrupted");
      throw error;
    }
    stream.end();
    return answer;
  }

  async #within<T>(stream: AgentStream, answer: Promise<T>, deadlineMs: number): Promise<T> {
    const waitMs = paced(deadlineMs);
    const timer = setTimeout(() => {
      stream.close(new SessionError("timeout", `the guest agent did not answer within ${waitMs} ms`));
    }, waitMs);
    try {
      return await answer;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** @returns whether a request to start this fits one frame, with room for the agent's own words */
export function fitsFrame(params: Pick<StartParams, "argv" | "env">): boolean {
  return (
    Buffer.byteLength(JSON.stringify([params.argv, params.env])) <= MAX_PAYLOAD_BYTES - OTHER_FIELDS_BYTES
  );
}

export type { Identity };
