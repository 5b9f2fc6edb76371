import http, { type ClientRequest, type IncomingMessage } from "node:http";
import { defined } from "../api/defined.ts";
import { paced } from "../host/pace.ts";
import { throwAnswer } from "./answer.ts";
import { describeConnectionError } from "./connection-error.ts";
import { findConnector, requestHeaders } from "./connector.ts";
import { ThawError } from "./errors.ts";
import { type ReachOptions, reachDaemon } from "./reach.ts";
import { readJson } from "./read-json.ts";
import { newRequestId } from "./request-id.ts";

/** How long a daemon may take to begin its answer, unless a request says otherwise. */
const answerDeadlineMs = 60_000;
const KEPT_CONNECTIONS = 8;

/** One request of the API. */
export interface ApiRequest {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  path: string;
  /** Sent as JSON. */
  json?: unknown;
  /** Sent as it is; called anew for each try. */
  stream?: () => AsyncIterable<Uint8Array>;
  /** How long the answer may take to begin; 0 = no limit. Default 60 s. */
  answerDeadlineMs?: number;
  /** Its id: the daemon answers a repeated one with what the first has made. Default: one of its own for all but GET. */
  request?: string | undefined;
  /** Whether it may be sent again when its connection breaks. Default true. */
  repeatable?: boolean | undefined;
  /** Ask even a daemon that is older than this client: to look at it, or to end it. */
  anyVersion?: boolean;
  signal?: AbortSignal | undefined;
}

/** HTTP over the daemon's unix socket, or over ssh. */
export class Transport {
  readonly #options: ReachOptions;
  readonly #agent = new http.Agent({ keepAlive: true, maxFreeSockets: KEPT_CONNECTIONS });
  readonly #open = new Set<ClientRequest>();

  constructor(options: ReachOptions) {
    this.#options = options;
  }

  /**
   * Sends a request, again when the connection breaks before the answer begins.
   * @returns the body of an answer below 400; it has to be read to its end, or returned from.
   * @throws ThawError what the daemon answers, or `daemon-unreachable`; the signal's reason when aborted.
   */
  async request(request: ApiRequest): Promise<AsyncGenerator<Buffer, void>> {
    const { signal } = request;
    const answer = await reachDaemon(this.#options, () => this.#send(request), request);
    return this.#readBody(answer, signal);
  }

  /**
   * Sends a request and reads its answer with `read`; does both again when the connection breaks before the answer was read.
   * @throws as {@link request}, and what `read` throws.
   */
  async ask<T>(request: ApiRequest, read: (body: AsyncIterable<Buffer>) => Promise<T>): Promise<T> {
    let tries = 0;
    const named = nameRequest(request);
    const attempt = async (): Promise<T> => {
      tries += 1;
      return read(this.#readBody(await this.#sendAgain(named, tries), named.signal));
    };
    return reachDaemon(this.#options, attempt, named);
  }

  /** What a repeated DELETE does not find was removed by the one before. */
  async #sendAgain(request: ApiRequest, tries: number): Promise<AsyncIterable<Buffer>> {
    try {
      return await this.#send(request);
    } catch (error) {
      const removed = request.method === "DELETE" && tries > 1;
      if (!removed || !(error instanceof ThawError) || error.code !== "not-found") throw error;
      return nothing();
    }
  }

  /** Closes every connection; requests that are under way fail. */
  close(): void {
    for (const request of this.#open) request.destroy();
    this.#agent.destroy();
  }

  async #send(request: ApiRequest): Promise<IncomingMessage> {
    const { signal } = request;
    signal?.throwIfAborted();
    this.#agent.createConnection = await findConnector(this.#options);
    const outgoing = this.#start(request);
    try {
      const answer = await awaitAnswer(outgoing, request);
      if ((answer.statusCode ?? 0) < 400) return answer;
      return await throwAnswer(answer, () => readJson(answer));
    } catch (error) {
      outgoing.destroy();
      if (signal?.aborted) throw signal.reason;
      throw error;
    }
  }

  #start(request: ApiRequest): ClientRequest {
    const headers = requestHeaders(this.#options, request);
    const json = request.json === undefined ? undefined : Buffer.from(JSON.stringify(request.json));
    if (json !== undefined) {
      headers["content-type"] = "application/json";
      headers["content-length"] = String(json.length);
    }
    if (request.request !== undefined) headers["thaw-request"] = request.request;
    if (request.stream !== undefined) headers["content-type"] = "application/octet-stream";
    const outgoing = http.request({
      host: "thaw",
      // Else Node looks whether the host is an address, by expressions that take as long to compile as the rest of the request.
      ...{ servername: "" },
      agent: this.#agent,
      method: request.method,
      path: request.path,
      headers,
      ...defined({ signal: request.signal }),
    });
    this.#open.add(outgoing);
    outgoing.once("close", () => this.#open.delete(outgoing));
    outgoing.on("error", () => {});
    if (request.stream === undefined) outgoing.end(json);
    return outgoing;
  }

  async *#readBody(
    answer: AsyncIterable<Buffer>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Buffer, void> {
    try {
      for await (const chunk of answer) yield chunk;
    } catch (error) {
      signal?.throwIfAborted();
      throw describeConnectionError(error, this.#options, signal);
    }
  }
}

async function* nothing(): AsyncGenerator<Buffer, void> {}

/** By its id the daemon knows a request that comes again. */
function nameRequest(request: ApiRequest): ApiRequest {
  if (request.method === "GET" || request.request !== undefined) return request;
  return { ...request, request: newRequestId() };
}

/** Sends the stream, if there is one, and waits for the answer to begin. */
async function awaitAnswer(outgoing: ClientRequest, request: ApiRequest): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  outgoing.once("response", resolve);
  outgoing.once("error", reject);
  const ms = paced(request.answerDeadlineMs ?? answerDeadlineMs);
  const late = (): void =>
    reject(new ThawError("timeout", `the daemon did not answer within ${ms / 1000} s`));
  const timer = ms === 0 ? undefined : setTimeout(late, ms);
  if (request.stream !== undefined) sendStream(outgoing, request.stream()).catch(reject);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}

/** Sends chunk by chunk, as fast as they are taken. Ends early when the connection does. */
async function sendStream(outgoing: ClientRequest, stream: AsyncIterable<Uint8Array>): Promise<void> {
  let wake = (): void => {};
  outgoing.on("drain", () => wake());
  outgoing.once("close", () => wake());
  for await (const chunk of stream) {
    if (outgoing.destroyed) return;
    const drained = Promise.withResolvers<void>();
    wake = drained.resolve;
    if (!outgoing.write(chunk)) await drained.promise;
  }
  outgoing.end();
}

/** Reads a body to its end and forgets it, so that its connection can be used again. */
export async function drain(body: AsyncIterable<Buffer>): Promise<void> {
  for await (const _chunk of body);
}
