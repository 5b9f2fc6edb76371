/** Which failures of a registry may pass, and how long to wait before the next try. */
import { setTimeout as sleep } from "node:timers/promises";
import { systemCode, ThawError } from "../../errors.ts";

/** Statuses that may be others the next time. */
const PASSING_STATUSES = new Set([408, 425, 429, 500, 502, 503, 504]);
/** The connection was there and broke, or a resolver is overloaded. */
const PASSING_CODES = new Set(["ECONNRESET", "EPIPE", "EAI_AGAIN", "UND_ERR_SOCKET", "UND_ERR_CLOSED"]);
/** Final for a registry that has never answered. */
const AWAY_CODES = new Set([
  ...["ECONNREFUSED", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"],
  ...["UND_ERR_CONNECT_TIMEOUT", "UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT"],
]);
export const MAX_TRIES = 6;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 8000;
/** A registry that wants more patience than this is given up. */
const LONGEST_ASKED_MS = 120_000;

/** A failure that may pass: the same request may work after a while. */
export class PassingError extends ThawError {
  /** What the registry asked for, in ms. */
  readonly retryAfterMs: number | undefined;

  constructor(
    message: string,
    options: { hint?: string | undefined; cause?: unknown; retryAfterMs?: number | undefined } = {},
  ) {
    super("store-unreachable", message, options);
    this.retryAfterMs = options.retryAfterMs;
  }
}

export function isPassingStatus(status: number): boolean {
  return PASSING_STATUSES.has(status);
}

/** @param hasAnswered whether the registry answered before, so that it is likely to come back */
export function isPassingError(error: unknown, hasAnswered: boolean): boolean {
  const code = (error as { code?: string }).code ?? systemCode(error) ?? "";
  const system = systemCode(error) ?? "";
  const either = (set: ReadonlySet<string>): boolean => set.has(code) || set.has(system);
  return either(PASSING_CODES) || (hasAnswered && either(AWAY_CODES));
}

/** `Retry-After` (RFC 9110, 10.2.3) in ms: seconds or a date. */
export function parseRetryAfter(value: string | string[] | undefined, nowMs: number): number | undefined {
  const text = (Array.isArray(value) ? value[0] : value)?.trim() ?? "";
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
}

/** Waits before try number `tries + 1`: what the registry asks for, else twice as long each time. @throws the error when it is final; the signal's reason. */
export async function waitToRetry(error: unknown, tries: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (!(error instanceof PassingError) || tries >= MAX_TRIES) throw error;
  const asked = error.retryAfterMs;
  if (asked !== undefined && asked > LONGEST_ASKED_MS)
    throw new ThawError(error.code, `${error.message}; it asks to wait for ${Math.ceil(asked / 1000)} s`, {
      hint: "run the command again after that time",
      cause: error,
    });
  const backoff = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (tries - 1)) * (0.75 + Math.random() / 2);
  await sleep(asked ?? backoff, undefined, { signal }).catch(() => signal.throwIfAborted());
}
