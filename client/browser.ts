/**
 * The client of a daemon's own web page: the same resources as in Node, by fetch and WebSocket, and nothing of Node. A cookie says who asks.
 *
 * @example
 * ```ts
 * const thaw = new Thaw({ onNotAuthenticated: showLogin });
 * for (const sandbox of await thaw.sandboxes.list()) console.log(sandbox.name);
 * ```
 */
import { type FetchOptions, FetchTransport } from "./fetch-transport.ts";
import { ThawClient } from "./thaw-client.ts";

export { type ErrorCode, errorCodes } from "../api/error-codes.ts";
export type * from "../api/schema.ts";
export type { CallOptions, ProgressOptions } from "./api-calls.ts";
export type { AttachTarget, ExecConnection, ExecHandlers } from "./channels.ts";
export { ThawError, type ThawErrorOptions } from "./errors.ts";
export { type FetchOptions, newId } from "./fetch-transport.ts";
export type { LogChunk, LogOptions } from "./logs.ts";
export type { OutputConsumer } from "./output-channel.ts";
export type { ListEnd, PageOptions } from "./pages.ts";
export type { Captures } from "./resources/captures.ts";
export type { AttachOptions, Exec as StartedExec, ExecReference, StartOptions } from "./resources/exec.ts";
export type { Files, GuestFiles } from "./resources/files.ts";
export type { Sandbox as OpenSandbox, SandboxReference } from "./resources/sandbox.ts";
export type { Sandboxes } from "./resources/sandboxes.ts";
export type { EventsOptions } from "./thaw-client.ts";

/** The daemon that the page came from. Every method throws {@link ThawError}, or the signal's reason when aborted. */
export class Thaw extends ThawClient<FetchTransport> {
  constructor(options: FetchOptions = {}) {
    super(new FetchTransport(options));
  }
}
