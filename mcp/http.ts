/** The server over HTTP: each request has a server of its own, as the protocol without sessions wants it. */
import { createMcpHandler } from "@modelcontextprotocol/server";
import type { Thaw } from "../client/index.ts";
import { Calls } from "./call.ts";
import { createServer } from "./server.ts";

/**
 * Answers one request.
 * @param thaw the host, with the rights of whoever asks. It is closed when all that the request has begun is done or undone.
 * @param request its signal aborts when the client goes
 * @param body the request's, parsed
 */
export async function answerOverHttp(
  thaw: Thaw,
  { request, body, onError }: { request: Request; body: unknown; onError: (error: Error) => void },
): Promise<Response> {
  const calls = new Calls();
  const handler = createMcpHandler(() => createServer(thaw, calls), {
    onerror: onError,
    maxSubscriptions: 0,
  });
  const close = async (): Promise<void> => {
    await handler.close();
    await calls.settled();
    await thaw[Symbol.asyncDispose]();
  };
  request.signal.addEventListener("abort", () => void close().catch(onError), { once: true });
  return handler.fetch(request, { parsedBody: body });
}
