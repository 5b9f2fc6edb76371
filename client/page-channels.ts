import { closeCode } from "../api/channels.ts";
import { ExecConnection, type ExecHandlers } from "./channels.ts";
import { ThawError } from "./errors.ts";
import { type FetchTransport, LostDaemon } from "./fetch-transport.ts";
import {
  type ClientSocket,
  drain,
  type ExecWish,
  OPEN_DEADLINE_MS,
  type SocketRequest,
} from "./transport.ts";

/** Joins an exec. @throws ThawError `unsupported` for a run: a page can't give a WebSocket the id that repeats it */
export async function connectExec(
  transport: FetchTransport,
  wish: ExecWish,
  handlers: ExecHandlers,
): Promise<ExecConnection> {
  if (!("attach" in wish))
    throw new ThawError("unsupported", "a page starts a command with a request of its own, then joins it");
  const { signal } = handlers;
  const { sandbox, exec } = wish.attach;
  const path = `/v1/sandboxes/${encodeURIComponent(sandbox)}/execs/${encodeURIComponent(exec)}`;
  const attempt = async (request: SocketRequest): Promise<void> => {
    if (await openSocket(transport.url(request.path), request)) return;
    // A browser does not tell a page how the daemon answered: asked for the exec itself, it says why.
    await transport.ask({ method: "GET", path, signal }, drain);
    throw new LostDaemon("the connection to the command did not open");
  };
  const open = (request: SocketRequest): Promise<void> => transport.reach(() => attempt(request), { signal });
  return new ExecConnection({ transport, openSocket: open }, wish, handlers).open();
}

/** @returns whether it opened. @throws the signal's reason when aborted. */
async function openSocket(url: string, { listener, signal }: SocketRequest): Promise<boolean> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const webSocket = new WebSocket(url);
  webSocket.binaryType = "arraybuffer";
  const close = (code: number): void => {
    // Only these codes may come from a page.
    webSocket.close(code === closeCode.normal ? code : undefined);
  };
  const socket: ClientSocket = {
    // One that is closing is told of only after what came before it.
    send: (data) => {
      if (webSocket.readyState === WebSocket.OPEN) webSocket.send(data as Uint8Array<ArrayBuffer>);
    },
    close: (code = closeCode.normal) => close(code),
    terminate: () => close(closeCode.normal),
  };
  const abort = (): void => {
    reject(signal?.reason);
    socket.terminate();
  };
  const timer = setTimeout(() => {
    resolve(false);
    socket.terminate();
  }, OPEN_DEADLINE_MS);
  let isOpen = false;
  webSocket.onopen = () => {
    isOpen = true;
    listener.open(socket);
    resolve(true);
  };
  webSocket.onmessage = ({ data }) => {
    if (data instanceof ArrayBuffer) listener.message(new Uint8Array(data));
  };
  webSocket.onclose = ({ code }) => {
    if (isOpen) listener.close(code);
    resolve(false);
  };
  signal?.addEventListener("abort", abort, { once: true });
  return promise.finally(() => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  });
}
