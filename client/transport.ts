import type { Readable } from "node:stream";
import { Client } from "undici";
import { throwAnswer, versionHeaders } from "./answer.ts";
import { ThawError } from "./errors.ts";
import { checkSocketFolder } from "./paths.ts";
import { type ReachOptions, reachDaemon } from "./reach.ts";

/** How long a daemon may take to begin its answer, unless a request says otherwise. */
const answerDeadlineMs = 60_000;
const keptConnections = 8;

/** One request of the API. */
export interface ApiRequest {
  method: "GET" | "POST" | "PUT" | "DELETE";
  path: string;
  /** Sent as JSON. */
  json?: unknown;
  /** Sent as it is: made anew for each try. */
  stream?: () => AsyncIterable<Uint8Array>;
  /** How long the answer may take to begin; 0 = no limit. Default 60 s. */
  answerDeadlineMs?: number;
  signal?: AbortSignal | undefined;
}

/** An answer below 400. Its body must be read, or dumped. */
export interface ApiAnswer {
  status: number;
  body: Readable & { json(): Promise<unknown>; dump(): Promise<void> };
}

/** HTTP over the daemon's unix socket. */
export class Transport {
  readonly #options: ReachOptions;
  readonly #idle: Client[] = [];
  readonly #open = new Set<Client>();

  constructor(options: ReachOptions) {
    this.#options = options;
  }

  /** @throws ThawError what the daemon answers, or `daemon-unreachable`. */
  request(request: ApiRequest): Promise<ApiAnswer> {
    return reachDaemon(this.#options, () => this.#send(request), request.signal);
  }

  /** Closes every connection; requests that are under way fail. */
  async close(): Promise<void> {
    this.#idle.length = 0;
    await Promise.all([...this.#open].map((client) => client.destroy()));
  }

  async #send(request: ApiRequest): Promise<ApiAnswer> {
    checkSocketFolder(this.#options.socket);
    const client = this.#take();
    const headers = versionHeaders();
    if (request.json !== undefined) headers["content-type"] = "application/json";
    if (request.stream !== undefined) headers["content-type"] = "application/octet-stream";
    const body = request.json !== undefined ? JSON.stringify(request.json) : (request.stream?.() ?? null);
    try {
      const answer = await client.request({
        method: request.method,
        path: request.path,
        headers,
        // undici takes async iterables, though its types name Readable only
        body: body as string | null,
        signal: request.signal ?? null,
        headersTimeout: request.answerDeadlineMs ?? answerDeadlineMs,
        bodyTimeout: 0,
      });
      answer.body.once("close", () => this.#release(client));
      if (answer.statusCode >= 400) await throwAnswer(answer.statusCode, () => answer.body.json());
      return { status: answer.statusCode, body: answer.body };
    } catch (error) {
      if (!(error instanceof ThawError)) this.#discard(client);
      throw error;
    }
  }

  /** A connection carries one request at a time, so that a long answer holds up no other. */
  #take(): Client {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    const client = new Client("http://thaw", { socketPath: this.#options.socket, keepAliveTimeout: 10_000 });
    this.#open.add(client);
    return client;
  }

  #release(client: Client): void {
    if (client.destroyed || this.#idle.length >= keptConnections) this.#discard(client);
    else this.#idle.push(client);
  }

  #discard(client: Client): void {
    this.#open.delete(client);
    if (!client.destroyed) client.destroy().catch(() => {});
  }
}
