/** One error class and one closed list of codes for everything the product says no to. */

export const errorCodes = [
  "usage",
  "not-found",
  "conflict",
  "invalid-template",
  "build-failed",
  "snapshot-corrupt",
  "snapshot-incompatible",
  "capture-corrupt",
  "secrets-found",
  "no-capacity",
  "no-space",
  "host-not-ready",
  "machine-ended",
  "agent-fault",
  "agent-timeout",
  "exec-not-found",
  "exec-not-executable",
  "exec-refused",
  "timeout",
  "cancelled",
  "store-unreachable",
  "store-denied",
  "store-corrupt",
  "daemon-unreachable",
  "daemon-mismatch",
  "unsupported",
  "internal",
] as const;
export type ErrorCode = (typeof errorCodes)[number];

export interface ErrorShape {
  code: ErrorCode;
  message: string;
  hint?: string | undefined;
  details?: string[] | undefined;
}

/** `message` says what failed, with the value and the limit; `hint` the next command to type. */
export class EngineError extends Error {
  override readonly name = "EngineError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: string[] | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: { hint?: string | undefined; details?: string[] | undefined; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.details = options.details;
  }

  toJSON(): ErrorShape {
    return {
      code: this.code,
      message: this.message,
      ...(this.hint === undefined ? {} : { hint: this.hint }),
      ...(this.details === undefined ? {} : { details: this.details }),
    };
  }
}
