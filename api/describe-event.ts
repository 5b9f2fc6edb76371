import { formatCommand } from "./ending.ts";
import type { Event } from "./event.ts";

const LONGEST_COMMAND = 400;

/** What is known of an event besides its type and its subject. */
export function describeEvent({ details }: Pick<Event, "details">): string {
  const { argv, exit, error, reason } = details as {
    argv?: string[];
    exit?: { code: number | null; signal: string | null } | null;
    error?: { message: string } | null;
    reason?: string;
  };
  if (argv !== undefined) return formatCommand(argv, LONGEST_COMMAND);
  if (exit) return exit.signal === null ? `exit ${exit.code}` : exit.signal;
  if (error) return error.message;
  if (reason !== undefined) return reason;
  return Object.entries(details)
    .filter(([, value]) => ["string", "number"].includes(typeof value))
    .map(([key, value]) => `${key} ${value}`)
    .join(", ");
}
