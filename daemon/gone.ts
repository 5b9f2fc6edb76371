import type { FastifyReply } from "fastify";
import { EngineError } from "../engine/errors.ts";

/** Aborts when the client of an answer goes away, or has it. */
export function goneSignal({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  raw.once("close", () => gone.abort(new EngineError("cancelled", "the client went away")));
  return gone.signal;
}
