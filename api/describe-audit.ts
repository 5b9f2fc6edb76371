/** Entries of the audit in words, for the command line and the page. */
import type { AuditEntry } from "./audit.ts";

/** Who asked: the name of a token or a session, a user of the socket, or the daemon. */
export function describeCaller({ from, token, session, uid, pid }: AuditEntry["by"]): string {
  if (token !== undefined) return `token ${token}`;
  // begins with the word
  if (session !== undefined) return session;
  if (from === "daemon") return "the daemon";
  if (from === "listener") return "the listener";
  return `${uid === null ? "the socket" : `user ${uid}`}${pid === null ? "" : `, process ${pid}`}`;
}

/** `argv: npm test, count: 3`, in one line. */
export function describeDetails(details: AuditEntry["details"]): string {
  return Object.entries(details)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name}: ${describe(value)}`)
    .join(", ");
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return value.map(describe).join(" ");
  return (typeof value === "object" ? JSON.stringify(value) : String(value)).replace(/\s+/g, " ");
}
