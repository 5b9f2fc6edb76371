/** WebSocket upgrades: which path is which stream. Everything else is refused before it is upgraded. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { FastifyBaseLogger } from "fastify";
import { WebSocketServer } from "ws";
import { closeCode } from "../../api/channels.ts";
import { EngineError } from "../../engine/errors.ts";
import { needRights } from "../access/guard.ts";
import { askedBy } from "../caller.ts";
import type { DaemonContext } from "../context.ts";
import { refuseUpgrade } from "../errors.ts";
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

export interface Channels {
  /** Takes what asks for a WebSocket. */
  upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  /** Closes all channels: their clients come back to the next daemon. */
  close: () => void;
}

export function serveChannels(context: DaemonContext, log: FastifyBaseLogger): Channels {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
  });
  const upgrade: Channels["upgrade"] = (request, socket, head) => {
    socket.on("error", () => {});
    try {
      refuseOlderSelf(context, request.headers);
      // Every channel runs something, or writes to what runs.
      needRights(request, "operate");
      const serve = routeOf(request);
      if (!serve) throw new EngineError("not-found", "no WebSocket is at this path");
      sockets.handleUpgrade(request, socket, head, (webSocket) => {
        askedBy(context, request, () => serve(context, new Connection(webSocket))).catch((error) =>
          log.error({ err: error }, "a channel failed"),
        );
      });
    } catch (error) {
      refuseUpgrade(socket, error);
    }
  };
  const close = (): void => {
    for (const client of sockets.clients) {
      client.close(closeCode.restart);
      setTimeout(() => client.terminate(), CLOSE_MS).unref();
    }
  };
  return { upgrade, close };
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
