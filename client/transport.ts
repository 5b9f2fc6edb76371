/** What the client needs of its surroundings: Node's is `NodeTransport`, a page's `FetchTransport`. */

import type { RunRequest } from "../api/schema.ts";
import type { AttachTarget, ExecConnection, ExecHandlers } from "./channels.ts";
import { ThawError } from "./errors.ts";
import type { AttemptOptions } from "./repeat.ts";

/** How long a daemon may take to begin its answer, unless a request says otherwise. */
export const ANSWER_DEADLINE_MS = 60_000;
/** How long a WebSocket may take to open. */
export const OPEN_DEADLINE_MS = 60_000;

/** A body of bytes: a blob, or a stream that is called anew for each try. */
export type RequestBody = Blob | (() => AsyncIterable<Uint8Array>);

/** One request of the API. */
export interface ApiRequest {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  path: string;
  /** Sent as JSON. */
  json?: unknown;
  /** Sent as it is. */
  stream?: RequestBody;
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

/** A WebSocket that is open, whoever made it. */
export interface ClientSocket {
  send(data: Uint8Array): void;
  close(code?: number): void;
  /** Ends it at once. */
  terminate(): void;
}

/** What a socket tells, from its very first message on. */
export interface SocketListener {
  open(socket: ClientSocket): void;
  message(data: Uint8Array): void;
  /** @param code of RFC 6455; 1006 when the connection broke */
  close(code: number): void;
}

export interface SocketRequest {
  path: string;
  /** Id of a request that creates something. */
  request?: string | undefined;
  listener: SocketListener;
  signal?: AbortSignal | undefined;
}

/** What an {@link ExecConnection} is for. */
export type ExecWish = { run: RunRequest } | { attach: AttachTarget };

/** Requests to one daemon. */
export abstract class Transport {
  /** Whether a network is in between: it breaks connections, where a unix socket only ever ends with one of its sides. */
  abstract readonly isFar: boolean;

  /** Makes the id of a request that creates something, or of an exec. */
  abstract newId(): string;

  /** Joins an exec, or runs one. What that takes is loaded with the first. */
  abstract connect(wish: ExecWish, handlers: ExecHandlers): Promise<ExecConnection>;

  /** Closes every connection; requests that are under way fail. */
  abstract close(): void;

  /** Sends a request once. @returns the body of an answer below 400 */
  protected abstract send(request: ApiRequest): Promise<AsyncGenerator<Uint8Array, void>>;

  /** Makes an attempt until it succeeds or fails for good. */
  protected abstract reach<T>(attempt: () => Promise<T>, how: AttemptOptions): Promise<T>;

  /**
   * Sends a request, again when the connection breaks before the answer begins.
   * @returns the body of an answer below 400; it has to be read to its end, or returned from.
   * @throws ThawError what the daemon answers, or `daemon-unreachable`; the signal's reason when aborted.
   */
  request(request: ApiRequest): Promise<AsyncGenerator<Uint8Array, void>> {
    return this.reach(() => this.send(request), request);
  }

  /**
   * Sends a request and reads its answer with `read`; does both again when the connection breaks before the answer was read.
   * @throws as {@link request}, and what `read` throws.
   */
  async ask<T>(request: ApiRequest, read: (body: AsyncIterable<Uint8Array>) => Promise<T>): Promise<T> {
    let tries = 0;
    const named = this.#name(request);
    const attempt = async (): Promise<T> => {
      tries += 1;
      return read(await this.#sendAgain(named, tries));
    };
    return this.reach(attempt, named);
  }

  /** By its id the daemon knows a request that comes again. */
  #name(request: ApiRequest): ApiRequest {
    if (request.method === "GET" || request.request !== undefined) return request;
    return { ...request, request: this.newId() };
  }

  /** What a repeated DELETE does not find was removed by the one before. */
  async #sendAgain(request: ApiRequest, tries: number): Promise<AsyncIterable<Uint8Array>> {
    try {
      return await this.send(request);
    } catch (error) {
      const removed = request.method === "DELETE" && tries > 1;
      if (!removed || !(error instanceof ThawError) || error.code !== "not-found") throw error;
      return nothing();
    }
  }
}

async function* nothing(): AsyncGenerator<Uint8Array, void> {}

/** Reads a body to its end and forgets it, so that its connection can be used again. */
export async function drain(body: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _chunk of body);
}
