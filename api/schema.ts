/**
 * The shapes of the daemon's API, version 1: the one source for request validation, the OpenAPI document and (as types) the client.
 * Sizes are in the unit their name ends with; times are ISO 8601 in UTC.
 */
export * from "./audit.ts";
export * from "./cache.ts";
export * from "./capture.ts";
export * from "./case-file.ts";
export * from "./disk.ts";
export * from "./error.ts";
export type { ErrorCode } from "./error-codes.ts";
export * from "./event.ts";
export * from "./exec.ts";
export * from "./guest.ts";
export * from "./host.ts";
export * from "./machine.ts";
export * from "./messages.ts";
export * from "./network.ts";
export * from "./page.ts";
export * from "./pool.ts";
export * from "./ports.ts";
export * from "./preview.ts";
export * from "./sandbox.ts";
export * from "./snapshot.ts";
export * from "./template-files.ts";
export * from "./text.ts";
export * from "./token.ts";
export * from "./travel.ts";
