/**
 * A client of QEMU's control protocol (QMP) over a unix socket: JSON lines, answers in the order of the commands, events in between.
 * Source: docs/interop/qmp-spec.rst in QEMU's tree. QEMU is inside the jail and may be taken over by its guest, so what it says is
 * checked before use and bounded.
 */
import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { paced } from "../../host/pace.ts";
import { RunnerError } from "../runner.ts";

/** The longest answer expected is `query-cpu-definitions` at about 200 KiB. */
const MAX_LINE_BYTES = 4 * 1024 * 1024;
const GREETING_TIMEOUT_MS = 3_000;
const COMMAND_TIMEOUT_MS = 10_000;

export type JsonObject = { [key: string]: unknown };

export interface QmpEvent {
  name: string;
  data: JsonObject;
}

export interface QmpOptions {
  signal?: AbortSignal | undefined;
  /** Until QEMU greets. One client is served at a time: a second waits without a greeting. Default 3 s. Deadlines here are for a common machine (see host/pace.ts). */
  greetingTimeoutMs?: number;
}

interface Pending {
  command: string;
  timer: NodeJS.Timeout;
  resolve(value: unknown): void;
  reject(error: Error): void;
}

type QmpEvents = { event: [QmpEvent]; close: [RunnerError] };

/** `event` for each event, `close` once, when the connection is over whatever the cause. */
export class QmpClient extends EventEmitter<QmpEvents> {
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #chunks: Buffer[] = [];
  #buffered = 0;
  #closed: RunnerError | undefined;
  #greet: (() => void) | undefined;

  private constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.#end(`QMP: ${error.message}`));
    socket.on("close", () => this.#end("QMP: QEMU closed the connection"));
  }

  /** Takes over a connected socket, waits for the greeting and enters command mode. */
  static async open(socket: Socket, options: QmpOptions = {}): Promise<QmpClient> {
    const client = new QmpClient(socket);
    const timeoutMs = paced(options.greetingTimeoutMs ?? GREETING_TIMEOUT_MS);
    const onAbort = (): void => client.#end("QMP: aborted");
    options.signal?.addEventListener("abort", onAbort, { once: true });
    if (options.signal?.aborted) onAbort();
    const timer = setTimeout(
      () => client.#end(`QMP: no greeting within ${timeoutMs} ms`, "timeout"),
      timeoutMs,
    );
    try {
      await new Promise<void>((resolve, reject) => {
        if (client.#closed !== undefined) return reject(client.#closed);
        client.#greet = resolve;
        client.once("close", reject);
      });
      await client.execute("qmp_capabilities");
      return client;
    } catch (error) {
      client.close();
      options.signal?.throwIfAborted();
      throw error;
    } finally {
      clearTimeout(timer);
      client.removeAllListeners("close");
      options.signal?.removeEventListener("abort", onAbort);
    }
  }

  /**
   * Sends a command; several may be under way. Rejects with what QEMU says, with `timeout` after `timeoutMs` (10 s), or with
   * `machine-gone` when the connection ends first.
   */
  execute(command: string, args?: JsonObject, timeoutMs = COMMAND_TIMEOUT_MS): Promise<unknown> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    const id = this.#nextId++;
    const waitMs = paced(timeoutMs);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new RunnerError("timeout", `QEMU did not answer ${command} within ${waitMs} ms`));
      }, waitMs);
      this.#pending.set(id, { command, timer, resolve, reject });
      const message =
        args === undefined ? { execute: command, id } : { execute: command, arguments: args, id };
      this.#socket.write(`${JSON.stringify(message)}\n`);
    });
  }

  /** The first event `wanted` picks. Rejects like `execute`. */
  waitEvent<T>(
    wanted: (event: QmpEvent) => T | undefined,
    options: { what: string; timeoutMs: number },
  ): Promise<T> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    const waitMs = paced(options.timeoutMs);
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer);
        this.off("event", onEvent);
        this.off("close", onClose);
      };
      const onEvent = (event: QmpEvent): void => {
        const result = wanted(event);
        if (result === undefined) return;
        done();
        resolve(result);
      };
      const onClose = (error: RunnerError): void => {
        done();
        reject(error);
      };
      const timer = setTimeout(() => {
        done();
        reject(new RunnerError("timeout", `QEMU did not report ${options.what} within ${waitMs} ms`));
      }, waitMs);
      this.on("event", onEvent);
      this.on("close", onClose);
    });
  }

  /** Keeps the connection from holding the process alive. */
  unref(): void {
    this.#socket.unref();
  }

  /** Lets go of the connection; QEMU goes on. */
  close(): void {
    this.#end("QMP: closed by us");
  }

  #receive(chunk: Buffer): void {
    let rest = chunk;
    for (let newline = rest.indexOf(10); newline >= 0; newline = rest.indexOf(10)) {
      const line = Buffer.concat([...this.#chunks, rest.subarray(0, newline)]).toString("utf8");
      this.#chunks = [];
      this.#buffered = 0;
      rest = rest.subarray(newline + 1);
      this.#line(line);
      if (this.#closed !== undefined) return;
    }
    if (rest.length === 0) return;
    this.#chunks.push(rest);
    this.#buffered += rest.length;
    if (this.#buffered > MAX_LINE_BYTES) this.#end(`QMP: a line longer than ${MAX_LINE_BYTES} bytes`);
  }

  #line(line: string): void {
    if (line.trim() === "") return;
    const message = parseObject(line);
    if (message === undefined) {
      this.#end("QMP: a line that is not a JSON object");
      return;
    }
    if ("QMP" in message) {
      this.#greet?.();
      return;
    }
    if (typeof message.event === "string") {
      this.emit("event", { name: message.event, data: asObject(message.data) });
      return;
    }
    const id = message.id;
    const pending = typeof id === "number" ? this.#pending.get(id) : undefined;
    if (pending === undefined) return;
    this.#pending.delete(Number(id));
    clearTimeout(pending.timer);
    if ("error" in message) {
      const description = asObject(message.error).desc;
      pending.reject(
        new RunnerError(
          "start-failed",
          `QEMU refused ${pending.command}: ${String(description).slice(0, 500)}`,
        ),
      );
    } else {
      pending.resolve(message.return);
    }
  }

  #end(message: string, code: "machine-gone" | "timeout" = "machine-gone"): void {
    if (this.#closed !== undefined) return;
    this.#closed = new RunnerError(code, message);
    this.#socket.destroy();
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.timer);
      pending.reject(new RunnerError(code, `${message}, before it answered ${pending.command}`));
    }
    this.#pending.clear();
    this.emit("close", this.#closed);
  }
}

/** An unknown value as an object; anything else becomes an empty one. */
export function asObject(value: unknown): JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};
}

function parseObject(line: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? asObject(value) : undefined;
  } catch {
    return undefined;
  }
}
