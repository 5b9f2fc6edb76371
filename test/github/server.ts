/**
 * A local server of GitHub's API. Every request is checked against GitHub's own description of the operation (path, parameters, body), and every
 * answer against its schema: a test fails when the product asks for what GitHub does not have, and when this server answers what GitHub would not.
 */
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { Description, type Operation } from "./description.ts";

export interface Asked {
  operation: string;
  /** Path and query parameters. */
  parameters: Record<string, string>;
  body: unknown;
  token: string | undefined;
}

export interface Answer {
  status?: number;
  headers?: Record<string, string>;
  /** A list is cut into pages, with a `Link` header; `wrap` makes the page's object of it. */
  body?: unknown;
  wrap?: (items: unknown[], total: number) => unknown;
}

/** Answers an operation; undefined: 404. */
export type Handler = (asked: Asked) => Answer | undefined;

/** A refusal that takes the place of an answer. */
export interface Fault {
  status: number;
  headers?: Record<string, string>;
  message: string;
  /** So many times; for ever when left out. */
  times?: number;
}

const description = new Description(
  JSON.parse(readFileSync(join(import.meta.dirname, "../fixtures/github-api/description.json"), "utf8")),
);

/** GitHub's own example of an operation's answer, with other values in it. */
export function example(operation: string, changes: object = {}): Record<string, unknown> {
  return { ...(description.example(operation) as Record<string, unknown>), ...changes };
}

export class GitHubApi {
  /** What was asked for, in order. */
  readonly asked: Asked[] = [];
  /** What no GitHub would take or answer. A test expects none. */
  readonly violations: string[] = [];
  readonly handlers: Record<string, Handler>;
  readonly faults = new Map<string, Fault>();
  url = "";
  readonly #server: Server;
  readonly #pageSize: number | undefined;

  private constructor(handlers: Record<string, Handler>, pageSize: number | undefined) {
    this.handlers = handlers;
    this.#pageSize = pageSize;
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => {
        // whoever leaves in the middle asked for nothing
        if (!request.complete) return;
        this.violations.push(String(error));
        response.writeHead(500).end();
      });
    });
  }

  /** @param options pageSize: fewer items a page than were asked for, so that little data has several pages */
  static async start(
    handlers: Record<string, Handler>,
    options: { pageSize?: number } = {},
  ): Promise<GitHubApi> {
    const api = new GitHubApi(handlers, options.pageSize);
    await new Promise<void>((resolve) => api.#server.listen(0, "127.0.0.1", resolve));
    api.url = `http://127.0.0.1:${(api.#server.address() as AddressInfo).port}`;
    return api;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** The operations asked for, in order. */
  get operations(): string[] {
    return this.asked.map(({ operation }) => operation);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const url = new URL(request.url ?? "/", this.url);
    const found = description.find(request.method ?? "GET", url.pathname);
    if (found === undefined) {
      this.violations.push(`${request.method} ${url.pathname} is not an operation that thaw is known to use`);
      return this.#send(response, { status: 404, body: { message: "Not Found" } });
    }
    const { operation, parameters: inPath } = found;
    const text = Buffer.concat(chunks).toString();
    const body: unknown = text === "" ? undefined : JSON.parse(text);
    const query = Object.fromEntries(url.searchParams);
    this.violations.push(...description.checkRequest(operation, { path: inPath, query, body }));
    const token = /^(?:token|bearer) (.+)$/i.exec(request.headers.authorization ?? "")?.[1];
    if (!/^thaw/.test(request.headers["user-agent"] ?? "")) this.violations.push("no user agent of thaw's");
    const asked = { operation: operation.operationId, parameters: { ...inPath, ...query }, body, token };
    this.asked.push(asked);
    const fault = this.#takeFault(operation.operationId);
    if (fault !== undefined) {
      const { status, headers = {}, message } = fault;
      return this.#send(response, { status, headers, body: { message } });
    }
    const answer = this.handlers[operation.operationId]?.(asked);
    if (answer === undefined) return this.#send(response, { status: 404, body: { message: "Not Found" } });
    this.#answer(response, operation, url, answer);
  }

  #takeFault(operation: string): Fault | undefined {
    const key = this.faults.has(operation) ? operation : "*";
    const fault = this.faults.get(key);
    if (fault?.times !== undefined) {
      fault.times--;
      if (fault.times <= 0) this.faults.delete(key);
    }
    return fault;
  }

  #answer(response: ServerResponse, operation: Operation, url: URL, answer: Answer): void {
    const { status = 200, headers = {}, wrap = (items) => items } = answer;
    let { body } = answer;
    if (Array.isArray(body)) {
      const asked = Number(url.searchParams.get("per_page") ?? 30);
      const size = Math.min(asked, this.#pageSize ?? asked);
      const page = Number(url.searchParams.get("page") ?? 1);
      const total = body.length;
      if (page * size < total) {
        const next = new URL(url);
        next.searchParams.set("page", String(page + 1));
        headers.link = `<${next}>; rel="next", <${next}>; rel="last"`;
      }
      body = wrap(body.slice((page - 1) * size, page * size), total);
    }
    this.violations.push(...description.checkAnswer(operation, status, body));
    this.#send(response, { status, headers, body });
  }

  #send(response: ServerResponse, { status = 200, headers = {}, body }: Answer): void {
    response.writeHead(status, {
      "content-type": "application/json; charset=utf-8",
      "x-ratelimit-limit": "5000",
      "x-ratelimit-remaining": "4999",
      ...headers,
    });
    response.end(body === undefined ? undefined : JSON.stringify(body));
  }
}
