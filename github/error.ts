import type { ErrorCode } from "../api/error-codes.ts";

export interface GitHubErrorOptions {
  hint?: string | undefined;
  /** What the token lacks, as a workflow writes it: `checks: read`. */
  permission?: string | undefined;
  /** HTTP status of the answer. */
  status?: number | undefined;
  cause?: unknown;
}

/** Every failure of this module: `message` says what failed, `hint` what to type or set. The message may hold GitHub's text: escape it. */
export class GitHubError extends Error {
  override readonly name = "GitHubError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly permission: string | undefined;
  readonly status: number | undefined;

  constructor(code: ErrorCode, message: string, options: GitHubErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.permission = options.permission;
    this.status = options.status;
  }
}
