import { defined } from "../api/defined.ts";
import { type AnswerHead, DaemonLeaving, HalfAnswer, throwAnswer } from "./answer.ts";
import type { ExecConnection, ExecHandlers } from "./channels.ts";
import { ThawError } from "./errors.ts";
import { readJson } from "./read-json.ts";
import { type AttemptOptions, repeat } from "./repeat.ts";
import {
  ANSWER_DEADLINE_MS,
  type ApiRequest,
  type ExecWish,
  type RequestBody,
  Transport,
} from "./transport.ts";

/** Where a page finds its daemon, and what it wants to know of the way there. */
export interface FetchOptions {
  /** Origin of the daemon. Default: the page's own. */
  origin?: string | undefined;
  /** The daemon does not know who asks, or not any more. The request fails with the same error. */
  onNotAuthenticated?: (error: ThawError) => void;
  /** Called with false when the daemon can't be reached, with true for each answer. */
  onReach?: (isThere: boolean) => void;
}

/** Makes the id of a request or an exec. (`crypto.randomUUID` exists on pages of https and of localhost only.) */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Nobody answered, or the answer broke off. */
export class LostDaemon extends ThawError {
  constructor(cause: unknown) {
    const message = cause instanceof Error ? cause.message : String(cause);
    super("daemon-unreachable", `lost the daemon: ${message}`, {
      hint: "on its host: thaw daemon status",
      cause,
    });
  }
}

function describeOtherVersion({ message }: ThawError): ThawError {
  return new ThawError("daemon-mismatch", `${message}: the daemon is not the one that this page came from`, {
    hint: "reload the page",
  });
}

/** fetch and WebSocket of a page. Who asks is told by a cookie that the page can't read. */
export class FetchTransport extends Transport {
  readonly isFar = true;
  readonly options: Readonly<FetchOptions>;
  #open = new AbortController();

  constructor(options: FetchOptions = {}) {
    super();
    this.options = options;
  }

  newId(): string {
    return newId();
  }

  async connect(wish: ExecWish, handlers: ExecHandlers): Promise<ExecConnection> {
    const { connectExec } = await import("./page-channels.ts");
    return connectExec(this, wish, handlers);
  }

  /** Requests after this one open new connections. */
  close(): void {
    this.#open.abort(new ThawError("cancelled", "the client was closed"));
    this.#open = new AbortController();
  }

  /** URL of a path of the API. */
  url(path: string): string {
    return `${this.options.origin ?? ""}${path}`;
  }

  reach<T>(attempt: () => Promise<T>, { signal, repeatable = true }: AttemptOptions): Promise<T> {
    const wait = async (): Promise<void> => {};
    return repeat(attempt, {
      findRemedy: (error) => {
        if (error instanceof DaemonLeaving) return wait;
        return repeatable && (error instanceof LostDaemon || error instanceof HalfAnswer) ? wait : undefined;
      },
      describe: (error) => error,
      signal,
    });
  }

  protected async send(request: ApiRequest): Promise<AsyncGenerator<Uint8Array, void>> {
    const { signal } = request;
    const end = AbortSignal.any([this.#open.signal, ...(signal === undefined ? [] : [signal])]);
    const answer = await this.#begin(request, end);
    const body = this.#readBody(answer, end);
    if (answer.ok) return body;
    const head: AnswerHead = { status: answer.status, header: (name) => answer.headers.get(name) };
    try {
      return await throwAnswer(head, { readJson: () => readJson(body), describeOtherVersion });
    } catch (error) {
      end.throwIfAborted();
      if (error instanceof ThawError && error.code === "not-authenticated")
        this.options.onNotAuthenticated?.(error);
      throw error;
    }
  }

  async #begin(request: ApiRequest, end: AbortSignal): Promise<Response> {
    end.throwIfAborted();
    const late = new AbortController();
    const ms = request.answerDeadlineMs ?? ANSWER_DEADLINE_MS;
    const timer = ms === 0 ? undefined : setTimeout(() => late.abort(), ms);
    const { body, headers } = await contentOf(request);
    if (request.request !== undefined) headers["thaw-request"] = request.request;
    try {
      const answer = await fetch(this.url(request.path), {
        ...{ method: request.method, headers, signal: AbortSignal.any([end, late.signal]) },
        ...{ credentials: "same-origin", cache: "no-store", redirect: "error" },
        ...defined({ body }),
      });
      this.options.onReach?.(true);
      return answer;
    } catch (error) {
      end.throwIfAborted();
      if (late.signal.aborted)
        throw new ThawError("timeout", `the daemon did not answer within ${ms / 1000} s`);
      this.options.onReach?.(false);
      throw new LostDaemon(error);
    } finally {
      clearTimeout(timer);
    }
  }

  async *#readBody(answer: Response, end: AbortSignal): AsyncGenerator<Uint8Array, void> {
    const reader = answer.body?.getReader();
    if (reader === undefined) return;
    try {
      for (;;) {
        const { value } = await reader.read();
        if (value === undefined) return;
        yield value;
      }
    } catch (error) {
      end.throwIfAborted();
      throw new LostDaemon(error);
    } finally {
      // What is left unread would keep the connection.
      reader.cancel().catch(() => {});
    }
  }
}

/** Over HTTP/1.1 browsers send no streams: one is read to its end first. */
async function contentOf({ json, stream }: ApiRequest): Promise<{
  body?: string | Blob;
  headers: Record<string, string>;
}> {
  if (json !== undefined)
    return { body: JSON.stringify(json), headers: { "content-type": "application/json" } };
  if (stream === undefined) return { headers: {} };
  return { body: await blobOf(stream), headers: { "content-type": "application/octet-stream" } };
}

async function blobOf(body: RequestBody): Promise<Blob> {
  if (typeof body !== "function") return body;
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const chunk of body()) parts.push(chunk as Uint8Array<ArrayBuffer>);
  return new Blob(parts);
}
