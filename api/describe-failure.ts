/** A failure in a few words, for lists of them. */
import type { Capture } from "./capture.ts";

/** Where a failure comes from, in a few words. */
export function describePlace({ ci }: Pick<Capture, "ci">): string {
  if (ci?.repository === undefined) return "not from CI";
  const ref = ci.pr === undefined ? branchOf({ ci }) : `PR #${ci.pr}`;
  return `${ci.repository} ${ref}`.trim();
}

export function branchOf({ ci }: Pick<Capture, "ci">): string {
  return (ci?.ref ?? "").replace(/^refs\/(heads|tags)\//, "");
}

/** Whether and how it can be stood in here. */
export function describeReplay({ replays, notes: { verified } }: Pick<Capture, "replays" | "notes">): {
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
