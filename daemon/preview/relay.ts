/** Carries a request that may look to the port inside, and its answer back. Headers and cookies of thaw and of other guests stay here. */
import { Agent, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createProxyServer, type ProxyServerOptions } from "httpxy";
import { asSocket } from "../as-socket.ts";
import { cookiesForBrowser, cookiesForGuest, type Jar } from "./cookies.ts";

export interface Target {
  /** A connection to the port inside. */
  dial(): Promise<Duplex>;
  jar: Jar;
  /** Path and query for the guest. */
  path: string;
  /** What the browser's address begins with, such as `http://8000-web.localhost:7380`. */
  origin: string;
  /** Nothing answered. */
  failed(error: Error): void;
}

/**
 * Answers that count for a whole origin or domain: the guest is not its owner. The rest of a connection's own headers is the library's to leave out.
 */
const NOT_THE_GUESTS = [
  ..."alt-svc clear-site-data nel report-to reporting-endpoints service-worker-allowed".split(" "),
  ..."strict-transport-security public-key-pins keep-alive proxy-authenticate proxy-connection upgrade".split(
    " ",
  ),
];
const NOT_FOR_GUESTS = "proxy-authorization proxy-connection keep-alive te trailer forwarded".split(" ");

const targets = new WeakMap<IncomingMessage, Target>();
const proxy = createProxyServer({});
proxy.on("proxyRes", (answer, request) => {
  const target = targets.get(request);
  if (target) cleanAnswer(answer.headers, target);
});
proxy.on("proxyReqWs", (outgoing, request) => {
  const target = targets.get(request);
  // Before the library reads it.
  outgoing.prependListener("upgrade", (answer: IncomingMessage) => {
    if (target) cleanAnswer(answer.headers, target, ["upgrade"]);
  });
});
// Each request has an error handler of its own.
proxy.on("error", (error, request) => {
  if (request) targets.get(request)?.failed(error);
});

export async function relay(
  request: IncomingMessage,
  response: ServerResponse,
  target: Target,
): Promise<void> {
  await proxy.web(request, response, prepare(request, target));
}

/** A WebSocket. Other protocols are not upgraded to. */
export async function relayUpgrade(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  target: Target,
): Promise<void> {
  await proxy.ws(request, socket as Socket, prepare(request, target), head);
}

function prepare(request: IncomingMessage, target: Target): ProxyServerOptions {
  targets.set(request, target);
  const { headers } = request;
  request.url = target.path;
  for (const name of Object.keys(headers))
    if (NOT_FOR_GUESTS.includes(name) || /^(x-forwarded-|thaw-)/.test(name)) delete headers[name];
  const cookies = cookiesForGuest(headers.cookie, target.jar);
  if (cookies === undefined) delete headers.cookie;
  else headers.cookie = cookies;
  const { protocol, host } = new URL(target.origin);
  headers["x-forwarded-proto"] = protocol.slice(0, -1);
  headers["x-forwarded-host"] = host;
  if (target.jar.prefix !== "/") headers["x-forwarded-prefix"] = target.jar.prefix.slice(0, -1);
  return { target: "http://guest.invalid", agent: agentOf(target) };
}

/** One connection for one request: what a guest has left in it reaches nobody else. */
function agentOf({ dial }: Target): Agent {
  const agent = new Agent({ keepAlive: false });
  agent.createConnection = ((_options: unknown, done: (error: Error | null, socket?: Duplex) => void) => {
    dial().then(
      (connection) => done(null, asSocket(connection)),
      (error: Error) => done(error),
    );
    return undefined;
  }) as unknown as Agent["createConnection"];
  return agent;
}

function cleanAnswer(headers: IncomingHttpHeaders, { jar, origin }: Target, kept: string[] = []): void {
  for (const name of NOT_THE_GUESTS) if (!kept.includes(name)) delete headers[name];
  const cookies = cookiesForBrowser(headers["set-cookie"] ?? [], jar);
  if (cookies.length === 0) delete headers["set-cookie"];
  else headers["set-cookie"] = cookies;
  const { location } = headers;
  if (location !== undefined && jar.prefix !== "/") headers.location = within(jar.prefix, location, origin);
}

/** A guest that is served by path does not know of the path. */
function within(prefix: string, location: string, origin: string): string {
  const own = location.startsWith(`${origin}/`) ? location.slice(origin.length) : location;
  if (!own.startsWith("/") || own.startsWith("//") || own.startsWith(prefix)) return location;
  return `${prefix}${own.slice(1)}`;
}
