/**
 * An HTTP and CONNECT proxy whose clients are streams from inside a guest. It listens nowhere on the host. It resolves names here, checks
 * the resolved address too, and reports a refused destination with the rule that would allow it. Both peers are hostile: every promise
 * ends in a catch, and every stream has an error listener from its first moment to its last.
 */
import { lookup } from "node:dns/promises";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { allows, mayDial, type Rule } from "./policy.ts";

const CONNECT_DEADLINE_MS = 30_000;
const IDLE_MS = 300_000;

export interface EgressProxy {
  /** Takes over a connection from the guest. */
  accept(connection: Duplex): void;
  close(): void;
}

export interface EgressOptions {
  /** Whether an address may be dialled that an allowed name led to. Default: the policy's. */
  mayDial?: (address: string) => boolean;
}

export function createEgressProxy(
  rules: Rule[],
  onDenied: (destination: string) => void,
  options: EgressOptions = {},
): EgressProxy {
  const server: Server = createServer();
  const open = new Set<Duplex>();
  const { mayDial: check = mayDial } = options;

  const dial = async (host: string, port: number): Promise<Socket> => {
    if (!allows(rules, host, port)) {
      onDenied(`${host}:${port}`);
      throw new Denied(`thaw: ${host}:${port} is not in this template's network list\n`);
    }
    const { address } = await lookup(host);
    if (!check(address)) throw new Denied(`thaw: ${host} leads to ${address}, which is never allowed\n`);
    return dialAddress(address, port);
  };

  const tunnel = async (message: IncomingMessage, guest: Duplex, head: Buffer): Promise<void> => {
    const target = parseTarget(`tcp://${message.url ?? ""}`);
    if (!target) return void guest.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    try {
      const out = await dial(target.host, target.port || 443);
      guest.write("HTTP/1.1 200 Connection established\r\n\r\n");
      if (head.length > 0) out.write(head);
      join(guest, out);
    } catch (error) {
      const status = error instanceof Denied ? "403 Forbidden" : "502 Bad Gateway";
      guest.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n${(error as Error).message}`);
    }
  };

  const relay = async (message: IncomingMessage, response: ServerResponse): Promise<void> => {
    const target = parseTarget(message.url ?? "");
    if (target?.scheme !== "http:")
      return refuse(response, 400, "thaw: only http:// addresses and CONNECT are proxied\n");
    try {
      await forward(message, response, await dial(target.host, target.port || 80), target);
    } catch (error) {
      const status = error instanceof Denied ? 403 : 502;
      if (response.headersSent) response.destroy();
      else refuse(response, status, (error as Error).message);
    }
  };

  server.on("connect", (message: IncomingMessage, guest: Duplex, head: Buffer) => {
    guest.on("error", () => {});
    tunnel(message, guest, head).catch(() => guest.destroy());
  });
  server.on("request", (message: IncomingMessage, response: ServerResponse) => {
    message.on("error", () => {});
    response.on("error", () => {});
    relay(message, response).catch(() => response.destroy());
  });
  server.on("clientError", (_error, connection) => connection.destroy());

  return {
    accept(connection) {
      open.add(connection);
      connection.on("error", () => {});
      connection.on("close", () => open.delete(connection));
      server.emit("connection", connection);
    },
    close() {
      server.close();
      for (const connection of open) connection.destroy();
    },
  };
}

class Denied extends Error {}

/** The rest of the request may never come: the connection ends with the answer. */
function refuse(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { "content-type": "text/plain", connection: "close" }).end(message);
}

function parseTarget(
  url: string,
): { scheme: string; host: string; port: number; path: string; authority: string } | null {
  if (!URL.canParse(url)) return null;
  const { protocol, hostname, port, pathname, search, host } = new URL(url);
  if (hostname === "") return null;
  return {
    scheme: protocol,
    host: hostname,
    port: Number(port),
    path: `${pathname}${search}`,
    authority: host,
  };
}

function dialAddress(address: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port });
    socket.setTimeout(CONNECT_DEADLINE_MS, () =>
      socket.destroy(new Error(`${address}:${port} did not answer`)),
    );
    // It stays: a reset between two other listeners must not be an uncaught exception.
    socket.on("error", reject);
    socket.once("connect", () => {
      socket.setTimeout(IDLE_MS, () => socket.destroy());
      resolve(socket);
    });
  });
}

function join(guest: Duplex, out: Socket): void {
  pipeline(guest, out).catch(() => {});
  pipeline(out, guest).catch(() => {});
}

/** Headers of one connection (RFC 9110, 7.6.1). `expect` was answered by this proxy. */
const HOP_BY_HOP = new Set([
  "connection",
  "expect",
  "host",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** A message's headers that go on to the next hop: names and values in turn. */
function endToEnd({ rawHeaders, headers }: IncomingMessage): string[] {
  const named = new Set((headers.connection ?? "").split(",").map((name) => name.trim().toLowerCase()));
  const kept: string[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const [name = "", value = ""] = rawHeaders.slice(at, at + 2);
    const lower = name.toLowerCase();
    if (!HOP_BY_HOP.has(lower) && !named.has(lower)) kept.push(name, value);
  }
  return kept;
}

/** Sends one request over a connection that was checked and dialled before: the name must not be resolved a second time. */
async function forward(
  message: IncomingMessage,
  response: ServerResponse,
  out: Socket,
  target: { path: string; authority: string },
): Promise<void> {
  const headers = endToEnd(message);
  headers.push("Host", target.authority, "Connection", "close");
  const { "transfer-encoding": encoding, "content-length": length } = message.headers;
  if (encoding !== undefined) headers.push("Transfer-Encoding", "chunked");
  else if (length === undefined) headers.push("Content-Length", "0");
  const gone = () => out.destroy();
  response.once("close", gone);
  try {
    if (response.destroyed) return;
    const { promise: answered, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const outgoing = request({
      ...{ method: message.method ?? "GET", path: target.path, headers, setHost: false },
      createConnection: () => out,
    });
    outgoing.on("error", reject);
    outgoing.once("response", resolve);
    outgoing.once("close", () => reject(new Error("the connection ended before the answer")));
    // Not a pipeline: an answer that comes before the whole request must not end the guest's connection.
    message.pipe(outgoing);
    const answer = await answered;
    response.writeHead(answer.statusCode ?? 502, endToEnd(answer));
    await pipeline(answer, response);
  } finally {
    response.off("close", gone);
    out.destroy();
  }
}
