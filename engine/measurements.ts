/** What metrics count and no event says. Without a listener it costs nothing. */
import { EventEmitter } from "node:events";
import type { ErrorCode } from "../api/error-codes.ts";
import type { NetworkEntry } from "../api/network.ts";
import { asEngineError } from "./as-engine-error.ts";
import { traced } from "./tracing.ts";

export const CREATED_FROM = ["template", "snapshot", "capture", "fork"] as const;
export type CreatedFrom = (typeof CREATED_FROM)[number];
export type MeasuredVerb = "create" | "fork" | "freeze" | "rerun" | "resume";

/** A request of a client has ended. */
export interface Outcome {
  verb: MeasuredVerb;
  result: "ok" | ErrorCode;
  /** Of a request that creates sandboxes. */
  from?: CreatedFrom | undefined;
  /** How long each sandbox that it created took, from the request on. */
  thawsMs: readonly number[];
  /** How long a sandbox stood still for it; null: none did. */
  pauseMs: number | null;
}

export const measurements = new EventEmitter<{
  outcome: [Outcome];
  verdict: [NetworkEntry["verdict"]];
  /** Somebody asked a pool for a sandbox. */
  claim: ["hit" | "miss"];
  /** Spans went to a collector, or were lost. */
  spans: [{ result: "sent" | "dropped"; count: number }];
}>();

/** Does a request, in a span of its own, and reports how it ended. @returns what `work` returns */
export async function measured<T>(
  of: Pick<Outcome, "verb" | "from">,
  work: () => Promise<T>,
  figures: (result: T) => Partial<Pick<Outcome, "thawsMs" | "pauseMs">> = () => ({}),
): Promise<T> {
  const none = { ...of, thawsMs: [], pauseMs: null };
  try {
    const result = await traced(of.verb, work, { attributes: of.from ? { "thaw.source": of.from } : {} });
    measurements.emit("outcome", { ...none, result: "ok", ...figures(result) });
    return result;
  } catch (error) {
    measurements.emit("outcome", { ...none, result: asEngineError(error).code });
    throw error;
  }
}
