import { WebSocket } from "ws";
import { paced } from "../host/pace.ts";
import { throwAnswer } from "./answer.ts";
import { findConnector, requestHeaders } from "./connector.ts";
import type { ReachOptions } from "./reach.ts";
import { readJson } from "./read-json.ts";

const OPEN_DEADLINE_MS = 60_000;
/** The daemon's messages are far smaller. */
const MAX_MESSAGE_BYTES = 8 << 20;

/** What a socket tells, from its very first message on. */
export interface SocketListener {
  open(socket: WebSocket): void;
  message(data: Buffer): void;
  /** @param code of RFC 6455; 1006 when the connection broke */
  close(code: number): void;
}

/**
 * Opens a WebSocket to the daemon.
 * @throws ThawError when the daemon answers with an error; the system's error when nobody is there; the signal's reason when aborted.
 */
export async function openWebSocket(options: {
  reach: ReachOptions;
  path: string;
  /** Id of a request that creates something. */
  request?: string | undefined;
  listener: SocketListener;
  signal?: AbortSignal | undefined;
}): Promise<void> {
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
    throwAnswer(response, () => readJson(response))
      .catch(reject)
      .finally(() => request.destroy());
  });
  return promise.finally(() => signal?.removeEventListener("abort", abort));
}
