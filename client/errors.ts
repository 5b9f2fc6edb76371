import { defined } from "../api/defined.ts";
import type { ApiError, ErrorCode } from "../api/schema.ts";

const exitCodes: Partial<Record<ErrorCode, number>> = {
  usage: 2,
  // a name that does not exist was mistyped
  "not-found": 2,
  "exec-not-executable": 126,
  "exec-not-found": 127,
  timeout: 124,
  cancelled: 130,
};

/** What a {@link ThawError} is made of: the API's error plus the cause. */
export interface ThawErrorOptions {
  hint?: string | undefined;
  details?: readonly string[] | undefined;
  cause?: unknown;
}

/** Every failure the client reports: `message` says what failed, `hint` the next command to type. */
export class ThawError extends Error {
  override readonly name = "ThawError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  /** Several faults at once, e.g. every mistake of a template. */
  readonly details: readonly string[];

  constructor(code: ErrorCode, message: string, options: ThawErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.details = options.details ?? [];
  }

  /** The exit code a command line ends with: 2 usage or unknown name, 124 timeout, 126, 127, 130 interrupted, otherwise 125. */
  get exitCode(): number {
    return exitCodes[this.code] ?? 125;
  }

  /** The error as the API writes it. */
  toJSON(): ApiError {
    return {
      code: this.code,
      message: this.message,
      ...defined({ hint: this.hint }),
      ...(this.details.length === 0 ? {} : { details: [...this.details] }),
    };
  }

  /** Makes an error of the API's JSON; anything that is not one becomes `internal`. */
  static fromApi(body: unknown, fallback: string): ThawError {
    const error = (body as { error?: Partial<ApiError> } | null)?.error;
    if (error === undefined || typeof error.message !== "string") return new ThawError("internal", fallback);
    return new ThawError(error.code ?? "internal", error.message, {
      hint: error.hint,
      details: error.details,
    });
  }
}

/** The `code` of a system error (`ENOENT`, …), looking through causes; undefined when there is none. */
export function systemCode(error: unknown): string | undefined {
  for (let e = error; e instanceof Error; e = e.cause) {
    const { code } = e as NodeJS.ErrnoException;
    if (code !== undefined && /^E[A-Z0-9]+$/.test(code)) return code;
    if (e instanceof AggregateError && e.errors.length > 0) return systemCode(e.errors[0]);
  }
  return undefined;
}

/** In words, why a server gave no answer; undefined for a code that does not tell. */
export function describeNoAnswer(code: string | undefined): string | undefined {
  switch (code) {
    case "UND_ERR_HEADERS_TIMEOUT":
    case "UND_ERR_BODY_TIMEOUT":
      return "it went silent";
    case "UND_ERR_CONNECT_TIMEOUT":
      return "it does not answer";
    case "ECONNREFUSED":
      return "nobody listens there";
    case "ENOTFOUND":
      return "there is no such host";
    default:
      return undefined;
  }
}
