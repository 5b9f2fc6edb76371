/**
 * An HTTP and CONNECT proxy whose clients are streams from inside a guest. It listens nowhere on the host. Names are resolved here, the
 * resolved address is checked too, and what was refused is reported with the rule that would allow it.
 */
import { lookup } from "node:dns/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Client } from "undici";
import { allows, mayDial, type Rule } from "./policy.ts";

const CONNECT_DEADLINE_MS = 30_000;
const IDLE_MS = 300_000;

export interface EgressProxy {
  /** Takes over a connection from the guest. */
  accept(connection: Duplex): void;
  close(): void;
}

export function createEgressProxy(rules: Rule[], onDenied: (destination: string) => void): EgressProxy {
  const server: Server = createServer({ requestTimeout: IDLE_MS, headersTimeout: CONNECT_DEADLINE_MS });
  const open = new Set<Duplex>();

  const dial = async (host: string, port: number): Promise<Socket> => {
    if (!allows(rules, host, port)) {
      onDenied(`${host}:${port}`);
      throw new Denied(`thaw: ${host}:${port} is not in this template's network list\n`);
    }
    const { address } = await lookup(host);
    if (!mayDial(address)) throw new Denied(`thaw: ${host} leads to ${address}, which is never allowed\n`);
    return dialAddress(address, port);
  };

  server.on("connect", (message: IncomingMessage, guest: Duplex, head: Buffer) => {
    guest.on("error", () => {});
    const target = parseTarget(`tcp://${message.url ?? ""}`);
    if (!target) return void guest.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    dial(target.host, target.port || 443).then(
      (out) => {
        guest.write("HTTP/1.1 200 Connection established\r\n\r\n");
        if (head.length > 0) out.write(head);
        join(guest, out);
      },
      (error: Error) => {
        guest.end(
          `HTTP/1.1 ${error instanceof Denied ? "403 Forbidden" : "502 Bad Gateway"}\r\nConnection: close\r\n\r\n${error.message}`,
        );
      },
    );
  });

  server.on("request", (message: IncomingMessage, response: ServerResponse) => {
    const target = parseTarget(message.url ?? "");
    if (target?.scheme !== "http:") {
      response.writeHead(400).end("thaw: only http:// addresses and CONNECT are proxied\n");
      return;
    }
    dial(target.host, target.port || 80).then(
      (out) => forward(message, response, out, target),
      (error: Error) =>
        response
          .writeHead(error instanceof Denied ? 403 : 502, { "content-type": "text/plain" })
          .end(error.message),
    );
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
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      socket.setTimeout(IDLE_MS, () => socket.destroy());
      resolve(socket);
    });
  });
}

function join(guest: Duplex, out: Socket): void {
  pipeline(guest, out).catch(() => {});
  pipeline(out, guest).catch(() => {});
}

/** One request over a connection that was already checked and dialled: undici must not resolve the name again. */
async function forward(
  message: IncomingMessage,
  response: ServerResponse,
  out: Socket,
  target: { path: string; authority: string },
): Promise<void> {
  const { "proxy-connection": _hop, connection: _close, host: _claimed, ...headers } = message.headers;
  // The client does not see a connection that is handed over before it has finished asking for one.
  const client = new Client(`http://${target.authority}`, {
    connect: (_options, done) => void setImmediate(() => done(null, out)),
  });
  try {
    const hasBody = message.method !== "GET" && message.method !== "HEAD";
    const answer = await client.request({
      method: (message.method ?? "GET") as "GET",
      path: target.path,
      headers,
      body: hasBody ? message : null,
      headersTimeout: IDLE_MS,
      bodyTimeout: IDLE_MS,
    });
    response.writeHead(answer.statusCode, answer.headers);
    await pipeline(answer.body, response);
  } catch (error) {
    if (!response.headersSent) response.writeHead(502);
    response.end(`thaw: ${(error as Error).message}\n`);
  } finally {
    await client.destroy();
  }
}
