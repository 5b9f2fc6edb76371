/** The error class of everything the product says no to. */
import { defined } from "../api/defined.ts";
import type { ErrorCode } from "../api/error-codes.ts";

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
      ...defined({ hint: this.hint, details: this.details }),
    };
  }
}
