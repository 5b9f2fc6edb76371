import { ExecConnection, type ExecHandlers } from "./channels.ts";
import type { NodeTransport } from "./node-transport.ts";
import { reachDaemon } from "./reach.ts";
import type { ExecWish, SocketRequest } from "./transport.ts";
import { openWebSocket } from "./websocket.ts";

/** Joins an exec, or runs one. Starts the daemon when there is none. */
export function connectExec(
  transport: NodeTransport,
  wish: ExecWish,
  handlers: ExecHandlers,
): Promise<ExecConnection> {
  const reach = transport.options;
  const { signal } = handlers;
  const openSocket = (request: SocketRequest): Promise<void> =>
    reachDaemon(reach, () => openWebSocket({ reach, ...request }), { signal });
  return new ExecConnection({ transport, openSocket }, wish, handlers).open();
}
