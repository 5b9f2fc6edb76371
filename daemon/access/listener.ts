/** Serves the API over TCP, to whoever has a token. The same routes as at the socket. */
import { readFile } from "node:fs/promises";
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from "node:http";
import type { Duplex } from "node:stream";
import type { Config } from "../../engine/config.ts";
import { EngineError } from "../../engine/errors.ts";
import { apiErrorOf, refuseUnread, refuseUpgrade } from "../errors.ts";
import { Listener } from "../listener.ts";
import { admit, checkHost } from "./guard.ts";
import { API_HEADERS, servePage } from "./page-files.ts";
import { type ApiListen, apiListenOf, pageOriginOf } from "./settings.ts";
import type { Access, Tokens } from "./tokens.ts";

const HEAD_MS = 20_000;
const MAX_CONNECTIONS = 1_000;
/** Of Node's timers. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export interface ApiListenerOptions {
  tokens: Tokens;
  /** Of the build; it may be absent. */
  pageFolder: string;
  /** What the socket's server does with a request that was let in. */
  handle: RequestListener;
  upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  onFailure: (message: string) => void;
}

/** @returns a listener that is told where it is */
export function apiListener(options: ApiListenerOptions): Listener<NonNullable<Config["listen"]>> {
  return new Listener<NonNullable<Config["listen"]>>({
    ...{ name: "api", failure: "the API is not served", key: "listen", onFailure: options.onFailure },
    serve: async (wanted) => {
      const listen = apiListenOf(wanted);
      const create = await creatorOf(listen);
      const scheme = listen.tls === null ? "http" : "https";
      return {
        address: listen.address,
        create: () => guarded(create(), listen, options),
        url: { scheme, path: "" },
      };
    },
  });
}

/** Throws when a file of the certificate can't be read, or is none. */
async function creatorOf({ tls }: ApiListen): Promise<() => Server> {
  const how: ServerOptions = { headersTimeout: HEAD_MS, requestTimeout: 0 };
  if (tls === null) return () => createServer(how);
  const [https, cert, key] = await Promise.all([import("node:https"), readFile(tls.cert), readFile(tls.key)]);
  return () => https.createServer({ ...how, cert, key, minVersion: "TLSv1.2" });
}

function guarded(
  server: Server,
  listen: ApiListen,
  { tokens, pageFolder, handle, upgrade }: ApiListenerOptions,
): Server {
  server.maxConnections = MAX_CONNECTIONS;
  /** By token: what is open ends with it. */
  const open = new Map<string, Set<Duplex>>();
  const note = ({ token }: Access, socket: Duplex): void => {
    if (token === null) return;
    const sockets = open.get(token.id) ?? new Set();
    if (sockets.has(socket)) return;
    open.set(token.id, sockets.add(socket));
    const leftMs = token.expiresAt === null ? null : Date.parse(token.expiresAt) - Date.now();
    const timer =
      leftMs === null || leftMs > LONGEST_TIMER_MS ? undefined : setTimeout(() => socket.destroy(), leftMs);
    socket.once("close", () => {
      clearTimeout(timer);
      sockets.delete(socket);
      if (sockets.size === 0) open.delete(token.id);
    });
  };
  const stopListening = tokens.onEnd((id, spare) => {
    for (const socket of open.get(id) ?? []) if (socket !== spare) socket.destroy();
  });
  server.once("close", stopListening);
  server.on("clientError", (error, socket) => refuseUnread(error, socket as never));
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  const showPage = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { host } = request.headers;
    if (pageOriginOf(listen.page, host) !== null) return servePage(pageFolder, request, response);
    redirectToPage(request, response, listen);
  };
  const refuse = (response: ServerResponse, error: unknown): void => {
    if (response.headersSent) return void response.destroy();
    const { status, error: body } = apiErrorOf(error);
    // The body is not read.
    response.writeHead(status, {
      ...API_HEADERS,
      "content-type": "application/json",
      connection: "close",
      ...challenge(status),
    });
    response.end(JSON.stringify({ error: body }));
  };
  server.on("request", (request, response) => {
    request.on("error", () => {});
    response.on("error", () => {});
    try {
      if (!isApi(request)) {
        checkHost(request.headers, listen);
        void showPage(request, response).catch((error) => refuse(response, error));
        return;
      }
      note(admit(request, { listen, tokens }), request.socket);
    } catch (error) {
      return refuse(response, error);
    }
    for (const [name, value] of Object.entries(API_HEADERS)) response.setHeader(name, value);
    handle(request, response);
  });
  server.on("upgrade", (request, socket, head) => {
    socket.on("error", () => {});
    try {
      note(admit(request, { listen, tokens }), socket);
    } catch (error) {
      refuseUpgrade(socket, error);
      return;
    }
    upgrade(request, socket, head);
  });
  return server;
}

/** What is no API is the page, which has nothing to protect: a path that only looks like the API's, `/%761/info`, is none of its files. */
function isApi({ method = "", url = "" }: IncomingMessage): boolean {
  return !["GET", "HEAD"].includes(method) || /^\/(v1|mcp)([/?#]|$)/.test(url) || !url.startsWith("/");
}

/** From another name of this host, for example 127.0.0.1: a session would not count there. Throws `not-found`. */
function redirectToPage(
  { url = "/", headers }: IncomingMessage,
  response: ServerResponse,
  { page }: ApiListen,
): void {
  const port = URL.parse(`${page.scheme}://${headers.host}`)?.port;
  const [name] = page.hosts;
  if (name === undefined)
    throw new EngineError("not-found", "the page has no address here", {
      hint: "listen.hosts or listen.base in config.yaml names it",
    });
  const origin = page.base?.origin ?? `${page.scheme}://${name}${port ? `:${port}` : ""}`;
  response.writeHead(307, { ...API_HEADERS, location: `${origin}${url}`, "content-length": 0 });
  response.end();
}

function challenge(status: number): Record<string, string> {
  return status === 401 ? { "www-authenticate": "Bearer" } : {};
}
