import http, { type ClientRequest, type IncomingMessage } from "node:http";
import { defined } from "../api/defined.ts";
import { paced } from "../host/pace.ts";
import type { ExecConnection, ExecHandlers } from "./channels.ts";
import { describeConnectionError } from "./connection-error.ts";
import { findConnector, requestHeaders } from "./connector.ts";
import { ThawError } from "./errors.ts";
import { throwNodeAnswer } from "./node-answer.ts";
import { type ReachOptions, reachDaemon } from "./reach.ts";
import type { AttemptOptions } from "./repeat.ts";
import { newRequestId } from "./request-id.ts";
import {
  ANSWER_DEADLINE_MS,
  type ApiRequest,
  type ExecWish,
  type RequestBody,
  Transport,
} from "./transport.ts";

const KEPT_CONNECTIONS = 8;

/** HTTP and WebSockets of Node, over the daemon's unix socket, ssh, or TCP. What of Node they take is loaded with the first request. */
export class NodeTransport extends Transport {
  readonly options: Readonly<ReachOptions>;
  #agent: http.Agent | undefined;
  readonly #open = new Set<ClientRequest>();

  constructor(options: ReachOptions) {
    super();
    this.options = options;
  }

  get isFar(): boolean {
    return this.options.remote !== undefined;
  }

  newId(): string {
    return newRequestId();
  }

  async connect(wish: ExecWish, handlers: ExecHandlers): Promise<ExecConnection> {
    const { connectExec } = await import("./node-channels.ts");
    return connectExec(this, wish, handlers);
  }

  /** Closes every connection; requests that are under way fail. */
  close(): void {
    for (const request of this.#open) request.destroy();
    this.#agent?.destroy();
    this.#agent = undefined;
  }

  protected reach<T>(attempt: () => Promise<T>, how: AttemptOptions): Promise<T> {
    return reachDaemon(this.options, attempt, how);
  }

  protected async send(request: ApiRequest): Promise<AsyncGenerator<Uint8Array, void>> {
    return this.#readBody(await this.#begin(request), request.signal);
  }

  async #begin(request: ApiRequest): Promise<IncomingMessage> {
    const { signal } = request;
    signal?.throwIfAborted();
    this.#agent ??= new http.Agent({ keepAlive: true, maxFreeSockets: KEPT_CONNECTIONS });
    this.#agent.createConnection = await findConnector(this.options);
    const outgoing = this.#start(request, this.#agent);
    try {
      const answer = await awaitAnswer(outgoing, request);
      if ((answer.statusCode ?? 0) < 400) return answer;
      return await throwNodeAnswer(answer);
    } catch (error) {
      outgoing.destroy();
      if (signal?.aborted) throw signal.reason;
      throw error;
    }
  }

  #start(request: ApiRequest, agent: http.Agent): ClientRequest {
    const headers = requestHeaders(this.options, request);
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
      agent,
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
    answer: AsyncIterable<Uint8Array>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array, void> {
    try {
      for await (const chunk of answer) yield chunk;
    } catch (error) {
      signal?.throwIfAborted();
      throw describeConnectionError(error, this.options, signal);
    }
  }
}

/** Sends the stream, if there is one, and waits for the answer to begin. */
async function awaitAnswer(outgoing: ClientRequest, request: ApiRequest): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  outgoing.once("response", resolve);
  outgoing.once("error", reject);
  const ms = paced(request.answerDeadlineMs ?? ANSWER_DEADLINE_MS);
  const late = (): void =>
    reject(new ThawError("timeout", `the daemon did not answer within ${ms / 1000} s`));
  const timer = ms === 0 ? undefined : setTimeout(late, ms);
  if (request.stream !== undefined) sendStream(outgoing, chunksOf(request.stream)).catch(reject);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}

function chunksOf(body: RequestBody): AsyncIterable<Uint8Array> {
  return typeof body === "function" ? body() : body.stream();
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
