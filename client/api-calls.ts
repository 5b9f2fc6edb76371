import type { Progress, RerunRun, StreamLine } from "../api/schema.ts";
import { HalfAnswer, NotThaw } from "./answer.ts";
import { ThawError } from "./errors.ts";
import { parseLines } from "./ndjson.ts";
import { readJson } from "./read-json.ts";
import { type ApiRequest, drain, type Transport } from "./transport.ts";

/** Options of every call. */
export interface CallOptions {
  signal?: AbortSignal | undefined;
}

/** Options of calls that report progress. */
export interface ProgressOptions extends CallOptions {
  onProgress?: (progress: Progress) => void;
}

/** A stream of bytes that can be begun anew. */
export type ByteSource = () => AsyncIterable<Uint8Array>;

type Result = StreamLine & { type: "result" };

/** A result that has `K`. */
type ResultWith<K extends keyof Result> = Result & { [P in K]-?: NonNullable<Result[P]> };

interface ResultOptions extends ProgressOptions {
  onRun?: (run: RerunRun) => void;
  repeatable?: boolean;
  request?: string;
}

/** How long the daemon may take to read all parts of an artifact, or to thaw a capture. */
export const SLOW_ANSWER_MS = 600_000;
/** Downloads in a row that break without a byte that is new. */
const MAX_CUT_OFF = 5;
/** How long the daemon may take to undo a request that was aborted. */
const UNDO_MS = 25_000;

export function withQuery(path: string, query: Record<string, string | undefined>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, value);
  return parameters.size === 0 ? path : `${path}?${parameters}`;
}

/** Requests to one daemon, and what becomes of their answers. */
export class ApiCalls {
  readonly transport: Transport;

  constructor(transport: Transport) {
    this.transport = transport;
  }

  send(request: ApiRequest): Promise<AsyncGenerator<Uint8Array, void>> {
    return this.transport.request(request);
  }

  async *bytes(request: ApiRequest): AsyncGenerator<Uint8Array, void> {
    yield* await this.send(request);
  }

  /** Bytes that are the same each time they are asked for: a connection that breaks is made again, and they go on where they were. */
  async *sameBytes(request: ApiRequest): AsyncGenerator<Uint8Array, void> {
    let given = 0;
    for (let cutOff = 0; ; ) {
      let at = 0;
      try {
        for await (const chunk of await this.send(request)) {
          const rest = chunk.subarray(Math.min(chunk.length, Math.max(0, given - at)));
          at += chunk.length;
          if (rest.length === 0) continue;
          given = at;
          cutOff = 0;
          yield rest;
        }
        return;
      } catch (error) {
        // An answer of the daemon's is final.
        if (!(error instanceof ThawError) || error.code !== "daemon-unreachable") throw error;
        if (++cutOff > MAX_CUT_OFF) throw error;
      }
    }
  }

  /** @returns the answer as the daemon's schema has it */
  async json<T>(request: ApiRequest): Promise<T> {
    return (await this.transport.ask(request, readJson)) as T;
  }

  /** An answer that has `field`. @throws ThawError `daemon-unreachable` for one without */
  async with<T extends object>(field: keyof T & string, request: ApiRequest): Promise<T> {
    const value = await this.json<T | null>(request);
    if (typeof value === "object" && value !== null && field in value) return value;
    throw new NotThaw(`its answer to ${request.path} has no ${field}`);
  }

  async nothing(request: ApiRequest): Promise<void> {
    await this.transport.ask(request, drain);
  }

  /** Follows an ndjson answer to its result. @throws ThawError `internal` when the result lacks `field` */
  async result<K extends keyof Result>(
    field: K,
    path: string,
    json: unknown,
    options: ResultOptions,
  ): Promise<ResultWith<K>> {
    const { onProgress, onRun, ...how } = options;
    const read = async (body: AsyncIterable<Uint8Array>): Promise<Result> => {
      for await (const parsed of parseLines(body)) {
        const line = parsed as StreamLine;
        if (line.type === "result") return line;
        if (line.type === "error") throw ThawError.fromApi(line, "the daemon reported an error");
        if (line.type === "run") onRun?.(line.run);
        else onProgress?.(line);
      }
      throw new HalfAnswer();
    };
    const request: ApiRequest = { method: "POST", path, json, answerDeadlineMs: 0, ...how };
    const result = await this.transport.ask(request, read);
    if (result[field] === undefined)
      throw new ThawError("internal", `the daemon's answer to ${path} has no ${field}`);
    return result as ResultWith<K>;
  }

  /** A request that creates something: repeated, it creates nothing twice; aborted, nothing is left. */
  make<K extends keyof Result>(
    field: K,
    path: string,
    json: unknown,
    options: ProgressOptions,
  ): Promise<ResultWith<K>> {
    const request = this.transport.newId();
    return this.undone(request, options, () => this.result(field, path, json, { ...options, request }));
  }

  /** Does `work`. When it is aborted, calls its request off: it may have reached the daemon or not. */
  async undone<T>(request: string, { signal }: CallOptions, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (signal?.aborted) {
        const path = `/v1/requests/${request}`;
        // The caller is told why it was aborted, whatever this fails with.
        await this.nothing({ method: "DELETE", path, answerDeadlineMs: UNDO_MS }).catch(() => {});
      }
      throw error;
    }
  }
}
