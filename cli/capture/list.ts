import { defined } from "../../api/defined.ts";
import type { Capture, CaptureQuery } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatAge } from "../format/age.ts";
import { cleanText } from "../format/clean-text.ts";
import { formatCommand, formatTrigger } from "../format/ending.ts";
import { type ListingFlags, printListing } from "../format/listing.ts";
import { formatSize } from "../format/size.ts";
import { formatTable } from "../format/table.ts";
import { styleErr, writeErr } from "../output.ts";

/** Flags of `thaw capture ls`. */
export interface ListFlags extends ListingFlags {
  trigger?: NonNullable<CaptureQuery["trigger"]>;
  repo?: string;
  branch?: string;
  pr?: string;
  fingerprint?: string;
  /** Milliseconds. */
  since?: number;
}

const HEADER = ["ID", "WHEN", "REPO", "REF", "STEP", "TRIGGER", "COMMAND", "SIZE", "REPLAYS HERE"];
const LONGEST_COMMAND = 32;

/** `yes · verified 0.4s`, `disk only`, `no`. */
function describeReplay({ replays, notes: { verified, pinned } }: Capture): string {
  const level = { memory: "yes", disk: "disk only", files: "files only" };
  const words = [replays === null ? "no" : level[replays]];
  if (verified?.ok === true) words.push(`verified ${(verified.resumeMs / 1000).toFixed(1)}s`);
  else if (verified?.ok === false && replays === "memory")
    words.push(`not verified: ${verified.reason.slice(0, 60)}`);
  if (pinned) words.push("pinned");
  return words.join(" · ");
}

/** The table of captures. */
export function formatCaptures(captures: readonly Capture[], nowMs?: number): string {
  const rows = captures.map((capture) => [
    capture.id,
    formatAge(capture.createdAt, nowMs),
    capture.ci?.repository ?? "",
    capture.ci?.pr === undefined ? (capture.ci?.ref ?? "") : `PR #${capture.ci.pr}`,
    capture.ci?.step ?? capture.ci?.job ?? "",
    formatTrigger(capture),
    capture.exec === null ? capture.sandbox.name : formatCommand(capture.exec.argv, LONGEST_COMMAND),
    formatSize(capture.storedBytes),
    describeReplay(capture),
  ]);
  return formatTable(HEADER, rows);
}

/** `thaw capture ls`. */
export async function list(flags: ListFlags): Promise<void> {
  const { trigger, repo, branch, pr, fingerprint, since } = flags;
  const query: CaptureQuery = {
    ...defined({ trigger, repository: repo, ref: branch, pr, fingerprint, withinMs: since }),
  };
  const { captures, unreadable } = await withClient((client) => client.captures.list(query));
  printListing(captures, flags, { nameOf: ({ id }) => id, format: (all) => formatCaptures(all) });
  for (const { reason } of unreadable) writeErr(`${styleErr("yellow", "thaw:")} ${cleanText(reason)}\n`);
}
