/** WebSocket upgrades: which path is which stream. Everything else is refused before it is upgraded. */
import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import type { FastifyBaseLogger } from "fastify";
import { WebSocketServer } from "ws";
import { closeCode } from "../../api/channels.ts";
import { EngineError } from "../../engine/errors.ts";
import { askedBy } from "../caller.ts";
import type { DaemonContext } from "../context.ts";
import { apiErrorOf } from "../errors.ts";
import { requestIdOf } from "../requests.ts";
import { refuseOlderSelf } from "../version.ts";
import { serveAttach } from "./attach.ts";
import { Connection } from "./connection.ts";
import { serveRun } from "./run.ts";

/** Stdin comes in small pieces; a run request may carry the longest command, where each byte is six in JSON. */
const MAX_MESSAGE_BYTES = 16 << 20;
/** A client that does not answer a close is not waited for. */
const CLOSE_MS = 200;
const ATTACH = /^\/v1\/sandboxes\/([^/]+)\/execs\/([^/]+)\/attach$/;

/** @returns how to close all channels: their clients come back to the next daemon */
export function serveChannels(server: Server, context: DaemonContext, log: FastifyBaseLogger): () => void {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
  });
  server.on("upgrade", (request, socket, head) => {
    socket.on("error", () => {});
    try {
      refuseOlderSelf(context, request.headers);
      const serve = routeOf(request);
      if (!serve) return refuse(socket, 404, "Not Found");
      sockets.handleUpgrade(request, socket, head, (webSocket) => {
        askedBy(context, request.headers, () => serve(context, new Connection(webSocket))).catch((error) =>
          log.error({ err: error }, "a channel failed"),
        );
      });
    } catch (error) {
      const { status, error: body } = apiErrorOf(error);
      refuse(socket, status, "Refused", JSON.stringify({ error: body }));
    }
  });
  return () => {
    for (const client of sockets.clients) {
      client.close(closeCode.restart);
      setTimeout(() => client.terminate(), CLOSE_MS).unref();
    }
  };
}

function routeOf(
  request: IncomingMessage,
): ((context: DaemonContext, connection: Connection) => Promise<void>) | null {
  const url = URL.parse(request.url ?? "", "http://daemon");
  if (!url) return null;
  const { pathname, searchParams } = url;
  if (pathname === "/v1/run") {
    const id = requestIdOf(request.headers);
    return (context, connection) => serveRun(context, connection, id);
  }
  const [, sandbox, exec] = ATTACH.exec(pathname) ?? [];
  if (sandbox === undefined || exec === undefined) return null;
  const at = { sandbox: decoded(sandbox), exec: decoded(exec), query: searchParams };
  return (context, connection) => serveAttach(context, connection, at);
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new EngineError("usage", `${part} is not valid URL encoding`);
  }
}

function refuse(socket: Duplex, status: number, reason: string, body = ""): void {
  socket.end(
    `HTTP/1.1 ${status} ${reason}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
