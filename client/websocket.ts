import { WebSocket } from "ws";
import { paced } from "../host/pace.ts";
import { findConnector, requestHeaders } from "./connector.ts";
import { throwNodeAnswer } from "./node-answer.ts";
import type { ReachOptions } from "./reach.ts";
import { OPEN_DEADLINE_MS, type SocketRequest } from "./transport.ts";

/** The daemon's messages are far smaller. */
const MAX_MESSAGE_BYTES = 8 << 20;

/**
 * Opens a WebSocket to the daemon.
 * @throws ThawError when the daemon answers with an error; the system's error when nobody is there; the signal's reason when aborted.
 */
export async function openWebSocket(options: SocketRequest & { reach: ReachOptions }): Promise<void> {
  const { signal, listener } = options;
  signal?.throwIfAborted();
  const connect = await findConnector(options.reach);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const ws = new WebSocket(`ws://thaw${options.path}`, {
    createConnection: connect,
    headers: {
      ...requestHeaders(options.reach),
      ...(options.request === undefined ? {} : { "thaw-request": options.request }),
    },
    perMessageDeflate: false,
    skipUTF8Validation: true,
    maxPayload: MAX_MESSAGE_BYTES,
    handshakeTimeout: paced(OPEN_DEADLINE_MS),
  });
  const abort = (): void => {
    reject(signal?.reason);
    ws.terminate();
  };
  signal?.addEventListener("abort", abort, { once: true });
  ws.on("message", (data) => listener.message(data as Buffer));
  ws.on("error", reject);
  ws.once("open", () => {
    ws.once("close", (code) => listener.close(code));
    listener.open(ws);
    resolve();
  });
  ws.once("unexpected-response", (request, response) => {
    throwNodeAnswer(response)
      .catch(reject)
      .finally(() => request.destroy());
  });
  return promise.finally(() => signal?.removeEventListener("abort", abort));
}
