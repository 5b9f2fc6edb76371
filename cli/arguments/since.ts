import { InvalidArgumentError } from "commander";
import { parseDuration } from "./duration.ts";

/** Parses how long ago (`10m`), or a time in ISO 8601. */
export function parseSince(text: string): Date {
  if (/^\d{4}-\d{2}-\d{2}/.test(text)) {
    const time = new Date(text);
    if (!Number.isNaN(time.getTime()) && time.getTime() >= 0) return time;
  }
  try {
    return new Date(Date.now() - parseDuration(text));
  } catch {
    throw new InvalidArgumentError(
      "Write how long ago (30s, 10m, 2h) or a time such as 2026-01-31T12:00:00Z.",
    );
  }
}
