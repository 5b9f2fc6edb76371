import type { Capture } from "../../../../client/index.ts";
import type { Row } from "../view.ts";

export interface FailureRow extends Row {
  capture: Capture;
}

/** Where a failure comes from, in a few words. */
export function describePlace({ ci }: Capture): string {
  if (ci?.repository === undefined) return "not from CI";
  const ref = ci.pr === undefined ? (ci.ref ?? "").replace(/^refs\/(heads|tags)\//, "") : `PR #${ci.pr}`;
  return `${ci.repository} ${ref}`.trim();
}

/** Whether and how it can be stood in here. */
export function describeReplay({ replays, notes: { verified } }: Capture): {
  text: string;
  tone: "good" | "warn" | "bad";
} {
  if (replays === null) return { text: "no", tone: "bad" };
  if (replays !== "memory") return { text: `${replays} only`, tone: "warn" };
  if (verified === null) return { text: "yes", tone: "good" };
  return verified.ok
    ? { text: `verified ${(verified.resumeMs / 1000).toFixed(1)}s`, tone: "good" }
    : { text: "verify failed", tone: "bad" };
}
