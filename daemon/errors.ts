/** HTTP statuses of the product's errors. */

import { maxHeaderSize } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { FastifyReply } from "fastify";
import type { ErrorCode } from "../api/error-codes.ts";
import type { ApiError } from "../api/schema.ts";
import { asEngineError } from "../engine/as-engine-error.ts";
import { EngineError } from "../engine/errors.ts";

const STATUS: Record<ErrorCode, number> = {
  usage: 400,
  "invalid-template": 400,
  "not-found": 404,
  conflict: 409,
  "snapshot-corrupt": 409,
  "snapshot-incompatible": 409,
  "capture-corrupt": 409,
  "secrets-found": 409,
  "exec-not-found": 409,
  "exec-not-executable": 409,
  "exec-refused": 409,
  "machine-ended": 409,
  unsupported: 409,
  "not-authenticated": 401,
  "not-allowed": 403,
  "daemon-mismatch": 426,
  "no-capacity": 503,
  "no-space": 507,
  "host-not-ready": 503,
  "build-failed": 500,
  "agent-fault": 502,
  "agent-timeout": 504,
  timeout: 504,
  cancelled: 499,
  "store-unreachable": 502,
  "store-denied": 403,
  "store-corrupt": 502,
  "github-unreachable": 502,
  "github-denied": 403,
  "daemon-unreachable": 502,
  internal: 500,
};

/** Anything thrown, as the API's error. Fastify's own (bad JSON, too large, schema) become `usage`. */
export function apiErrorOf(error: unknown): { status: number; error: ApiError } {
  const { statusCode, validation } = error as {
    statusCode?: number;
    validation?: { instancePath?: string; message?: string }[];
  };
  if (!(error instanceof EngineError) && statusCode !== undefined && statusCode < 500) {
    const details = validation?.map(
      ({ instancePath, message }) => `${instancePath || "request"}: ${message}`,
    );
    return {
      status: statusCode,
      error: {
        code: "usage",
        message: details?.join("; ") ?? (error as Error).message,
        ...(details ? { details } : {}),
      },
    };
  }
  const known = asEngineError(error);
  return { status: STATUS[known.code], error: known.toJSON() as ApiError };
}

export function sendError(reply: FastifyReply, error: unknown): void {
  const { status, error: body } = apiErrorOf(error);
  void reply
    .code(status)
    .type("application/json")
    .send(JSON.stringify({ error: body }));
}

/** What is no request: too long a head, or no HTTP at all. There is nothing to route, so the answer is written by hand. */
export function refuseUnread(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || socket.destroyed) return;
  const tooLong = error.code === "HPE_HEADER_OVERFLOW";
  const status = tooLong ? "431 Request Header Fields Too Large" : "400 Bad Request";
  const message = tooLong
    ? `the address and headers of a request may have at most ${maxHeaderSize} bytes`
    : `not a valid HTTP request: ${error.message}`;
  if (socket.writable) socket.write(rawAnswer(status, { code: "usage", message }));
  socket.destroy(error);
}

/** Answers what asked for a WebSocket and gets none. */
export function refuseUpgrade(socket: Duplex, error: unknown): void {
  const { status, error: body } = apiErrorOf(error);
  socket.end(rawAnswer(`${status} Refused`, body));
}

/** An answer to what no server's response belongs to. */
function rawAnswer(status: string, error: ApiError): string {
  const body = JSON.stringify({ error });
  return `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`;
}
