/**
 * HTTP without TLS: each request of a connection is read by Node's parser and must be for the name that was allowed. What can't be read in
 * one way only (both lengths, folded headers) is refused by the parser.
 */
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { join } from "./join.ts";

export interface HttpTarget {
  /** What each request must be for. */
  name: string;
  port: number;
  /** A connection to the pinned address. Rejects with a reason for people. */
  dial(): Promise<Socket>;
  /** A connection straight to the name, for an upgraded stream, where `dial` leads to a proxy. Default: `dial`. */
  tunnel?: (() => Promise<Socket>) | undefined;
  /** `dial` leads to a proxy, which is told the whole address, and who asks. */
  through?: { prefix: string; headers: Record<string, string> } | null | undefined;
  /** A request was for something else. */
  refused(reason: string): void;
  /** The destination could not be reached. */
  failed(reason: string): void;
}

/** What a connection of the guest's is served with. */
interface Served {
  target: HttpTarget;
  /** One connection to the destination, used again for the next request. */
  agent: Agent;
}

const served = new WeakMap<object, Served>();

const server = createServer({ keepAliveTimeout: 0, shouldUpgradeCallback: mayUpgrade });
server.on("request", (message: IncomingMessage, response: ServerResponse) => {
  const by = served.get(message.socket);
  message.on("error", () => {});
  response.on("error", () => {});
  if (!by) return void response.destroy();
  forward(message, response, by).catch(() => response.destroy());
});
server.on("upgrade", (message: IncomingMessage, guest: Duplex, head: Buffer) => {
  guest.on("error", () => {});
  const by = served.get(message.socket);
  if (!by) return void guest.destroy();
  upgrade(message, guest, head, by.target).catch(() => guest.destroy());
});
server.on("connect", (message: IncomingMessage, guest: Duplex) => {
  guest.on("error", () => {});
  const target = served.get(message.socket)?.target;
  const reason = `a CONNECT to ${(message.url ?? "").slice(0, 200)} within a connection to ${target?.name}`;
  target?.refused(reason);
  guest.end(
    `HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\nthaw: ${reason}\n`,
  );
});
server.on("clientError", (error: NodeJS.ErrnoException, guest: Duplex) => {
  const target = served.get(guest)?.target;
  if (error.code?.startsWith("HPE_") || error.code === "ERR_HTTP_REQUEST_TIMEOUT") {
    target?.refused(`not a request that can be read: ${error.code}`);
    if (guest.writable) return void guest.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
  }
  guest.destroy();
});

/** Serves the requests of a connection until it closes. What was read of it before must have been put back. */
export function relayHttp(guest: Duplex, target: HttpTarget): void {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, maxFreeSockets: 1 });
  agent.createConnection = ((_options: unknown, done: (error: Error | null, socket?: Socket) => void) => {
    target.dial().then(
      (socket) => done(null, socket),
      (error: Error) => done(error),
    );
    return undefined;
  }) as unknown as Agent["createConnection"];
  served.set(guest, { target, agent });
  guest.once("close", () => agent.destroy());
  server.emit("connection", guest);
}

/** Answers the first request with 403 and closes. */
export function refuseHttp(guest: Duplex, reason: string): void {
  const say = async (): Promise<never> => {
    throw new Refused(reason);
  };
  relayHttp(guest, { name: "", port: 0, dial: say, refused: () => {}, failed: () => {} });
}

/** Why nothing was dialled, told to the program with status 403. */
export class Refused extends Error {}

/** @returns why a request is not for the target; null: it is */
function fault({ url = "", headersDistinct }: IncomingMessage, { name, port }: HttpTarget): string | null {
  if (name === "") return null;
  const hosts = headersDistinct.host ?? [];
  if (hosts.length > 1) return "a request with more than one Host";
  const [host] = hosts;
  if (host === undefined) return "a request without a Host";
  if (!names(host, name, port))
    return `a request for Host ${host.slice(0, 200)} within a connection to ${name}`;
  if (url.startsWith("/") || url === "*") return null;
  // Compared as it is written: parsers of addresses differ in what they make of odd ones.
  const meant = /^http:\/\/([^/?#\\@\s]+)(?:[/?].*)?$/is.exec(url)?.[1] ?? "";
  return names(meant, name, port)
    ? null
    : `a request for ${url.slice(0, 200)} within a connection to ${name}`;
}

function names(host: string, name: string, port: number): boolean {
  const parts = /^([^:]+?)\.?(?::(\d+))?$/.exec(host.toLowerCase());
  return parts?.[1] === name && (parts[2] === undefined || Number(parts[2]) === port);
}

/** Headers of one connection (RFC 9110, 7.6.1). `expect` was answered by this relay. */
const HOP_BY_HOP = new Set(
  "connection expect keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade".split(
    " ",
  ),
);

/** A message's headers that go on to the next hop: names and values in turn. */
function endToEnd({ rawHeaders, headers }: IncomingMessage): string[] {
  const named = new Set((headers.connection ?? "").split(",").map((name) => name.trim().toLowerCase()));
  // Without the length of its body, a request's body would be the next request.
  for (const kept of ["host", "content-length"]) named.delete(kept);
  const kept: string[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const [name = "", value = ""] = rawHeaders.slice(at, at + 2);
    const lower = name.toLowerCase();
    if (!HOP_BY_HOP.has(lower) && !named.has(lower)) kept.push(name, value);
  }
  return kept;
}

async function forward(
  message: IncomingMessage,
  response: ServerResponse,
  { target, agent }: Served,
): Promise<void> {
  const wrong = fault(message, target);
  if (wrong !== null) {
    target.refused(wrong);
    return answer(response, 403, `thaw: ${wrong}\n`);
  }
  const headers = endToEnd(message);
  const { "transfer-encoding": encoding, "content-length": length } = message.headers;
  if (encoding !== undefined) headers.push("Transfer-Encoding", "chunked");
  else if (length === undefined && message.method !== "GET" && message.method !== "HEAD")
    headers.push("Content-Length", "0");
  headers.push(...Object.entries(target.through?.headers ?? {}).flat());
  const { promise: answered, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const outgoing = request({
    ...{ method: message.method ?? "GET", path: pathFor(target, message.url), headers, setHost: false },
    agent,
  });
  outgoing.on("error", reject);
  outgoing.once("response", resolve);
  outgoing.once("close", () => reject(new Error("the connection ended before the answer")));
  response.once("close", () => {
    if (!response.writableFinished) outgoing.destroy();
  });
  // Not a pipeline: an answer that comes before the whole request must not end the guest's connection.
  message.pipe(outgoing);
  let incoming: IncomingMessage;
  try {
    incoming = await answered;
  } catch (error) {
    const { message: why } = error as Error;
    if (error instanceof Refused) return answer(response, 403, `thaw: ${why}\n`);
    target.failed(why);
    return answer(response, 502, `thaw: ${why}\n`);
  }
  response.sendDate = false;
  response.writeHead(incoming.statusCode ?? 502, incoming.statusMessage, endToEnd(incoming));
  await pipeline(incoming, response);
}

/** A proxy gets the whole address. */
function pathFor({ through }: HttpTarget, url = "/"): string {
  if (!through || /^http:/i.test(url)) return url;
  return url === "*" ? through.prefix : `${through.prefix}${url}`;
}

/**
 * Whether a request may turn its connection into something else. To HTTP/2 and TLS it may not: their names could not be checked. Such requests
 * are ordinary ones, as for a server that does not know the protocol.
 */
function mayUpgrade({ headers }: IncomingMessage): boolean {
  const hasBody = headers["transfer-encoding"] !== undefined || headers["content-length"] !== undefined;
  return !hasBody && !/\b(h2c?|http|tls|ssl)\b/i.test(headers.upgrade ?? "");
}

/** WebSockets and the like: once the server has agreed, bytes go both ways. Until then it is a request like others, with one answer. */
async function upgrade(
  message: IncomingMessage,
  guest: Duplex,
  head: Buffer,
  target: HttpTarget,
): Promise<void> {
  const wrong = fault(message, target);
  if (wrong !== null) {
    target.refused(wrong);
    return void guest.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n");
  }
  const connection = await (target.tunnel ?? target.dial)();
  const headers = [...endToEnd(message), "Connection", "Upgrade", "Upgrade", message.headers.upgrade ?? ""];
  const outgoing = request({
    ...{ method: message.method ?? "GET", path: message.url ?? "/", headers, setHost: false },
    createConnection: () => connection,
  });
  guest.once("close", () => outgoing.destroy());
  outgoing.on("error", () => guest.destroy());
  outgoing.once("upgrade", (answer: IncomingMessage, upstream: Socket, first: Buffer) => {
    guest.write(headOf(answer));
    if (first.length > 0) upstream.unshift(first);
    if (head.length > 0) upstream.write(head);
    join(guest, upstream).catch(() => {});
  });
  outgoing.once("response", (answer: IncomingMessage) => {
    // Its body ends with the connection.
    guest.write(headOf(answer, ["Connection", "close"]));
    answer.pipe(guest);
    answer.on("error", () => guest.destroy());
  });
  outgoing.end();
}

/** The first line and headers of an answer; of one that does not upgrade without those of its connection. */
function headOf(answer: IncomingMessage, instead?: string[]): string {
  const headers = instead ? [...endToEnd(answer), ...instead] : answer.rawHeaders;
  const lines = [`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}`];
  for (let at = 0; at + 1 < headers.length; at += 2) lines.push(`${headers[at]}: ${headers[at + 1]}`);
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** The rest of the request may never come: the connection ends with the answer. */
function answer(response: ServerResponse, status: number, text: string): void {
  if (response.headersSent) return void response.destroy();
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8", connection: "close" }).end(text);
}
