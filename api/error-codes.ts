/** Codes of everything the product says no to: one closed list. docs/API.md has the HTTP status of each. */
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
  "github-unreachable",
  "github-denied",
  "daemon-unreachable",
  "daemon-mismatch",
  "unsupported",
  "not-authenticated",
  "not-allowed",
  "internal",
] as const;
export type ErrorCode = (typeof errorCodes)[number];

/** Whether a text that came from elsewhere is one of the codes. */
export function isErrorCode(text: unknown): text is ErrorCode {
  return (errorCodes as readonly unknown[]).includes(text);
}
