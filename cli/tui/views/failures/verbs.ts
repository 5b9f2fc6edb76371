import { quoteWord } from "../../../format/ending.ts";
import { formatSize } from "../../../format/size.ts";
import type { RerunState } from "../../state/state.ts";
import { travelVerbs } from "../common.ts";
import type { Verb, World } from "../view.ts";
import type { FailureRow } from "./row.ts";

/** GitHub's page of the pull request, else of the run. */
export function pageOf({ capture: { ci } }: FailureRow): string | undefined {
  // the case file is somebody else's text
  if (ci?.repository === undefined || !/^[\w.-]+\/[\w.-]+$/.test(ci.repository)) return undefined;
  const base = `https://github.com/${ci.repository}`;
  if (ci.pr !== undefined && /^\d+$/.test(ci.pr)) return `${base}/pull/${ci.pr}`;
  return ci.runId !== undefined && /^\d+$/.test(ci.runId) ? `${base}/actions/runs/${ci.runId}` : undefined;
}

function replays({ capture }: FailureRow): string | undefined {
  return capture.replays === "memory" || capture.replays === "disk"
    ? undefined
    : `${capture.id} can't be replayed on this host: thaw capture check ${capture.id}`;
}

async function rerun(row: FailureRow, count: number, { client, update }: World): Promise<string> {
  const set = (change: (before: RerunState) => RerunState): void =>
    update((state) => ({
      ...state,
      reruns: new Map(state.reruns).set(
        row.key,
        change(state.reruns.get(row.key) ?? { count, done: 0, failed: 0 }),
      ),
    }));
  set(() => ({ count, done: 0, failed: 0 }));
  try {
    const result = await client(row.context).captures.rerun(
      row.capture.id,
      { count },
      {
        onRun: ({ failed }) =>
          set((before) => ({ ...before, done: before.done + 1, failed: before.failed + (failed ? 1 : 0) })),
      },
    );
    set(() => ({ count, done: result.runs.length, failed: result.failed, result }));
    return `${row.name}: ${result.failed} of ${result.runs.length} failed: ${result.verdict}`;
  } catch (error) {
    set((before) => ({
      ...before,
      trouble: { message: error instanceof Error ? error.message : String(error) },
    }));
    throw error;
  }
}

export const FAILURE_VERBS: readonly Verb<FailureRow>[] = [
  {
    kind: "terminal",
    key: "return",
    label: "replay",
    help: "Replays the failure and opens a shell in the replay. Leaving the shell ends the replay.",
    refusal: replays,
    args: ({ name }) => ["replay", name],
  },
  {
    kind: "count",
    key: "n",
    label: "rerun",
    title: "Number of runs",
    initial: 10,
    help: "Runs the failed command several times from the state before it, to tell flaky from broken.",
    args: ({ name }, count) => ["rerun", name, "-n", String(count)],
    run: rerun,
  },
  {
    kind: "call",
    key: "f",
    label: "as sandbox",
    help: "Replays the failure as a sandbox that stays until you remove it.",
    refusal: replays,
    args: ({ name }) => ["replay", "--keep", name, "--", "true"],
    run: async ({ capture, context }, { client }) => {
      const { name } = await client(context).sandboxes.create({ source: { capture: capture.id } });
      return `${capture.id} runs as ${name}`;
    },
  },
  {
    kind: "terminal",
    isPaged: true,
    key: "=",
    label: "diff",
    help: "Compares the failure with the newest other run of its command, in $PAGER. The pane Compare compares it with the marked failure.",
    args: ({ name }) => ["capture", "diff", name],
  },
  {
    kind: "copy",
    key: "y",
    label: "copy",
    help: "Copies the command that replays the failure.",
    what: "the replay command",
    text: ({ name }) => `thaw replay ${quoteWord(name)}`,
  },
  {
    kind: "page",
    key: "o",
    label: "page",
    help: "Opens the failure's pull request or CI run in a browser. Without a browser, copies the address.",
    refusal: (row) => (pageOf(row) === undefined ? `${row.name} has no pull request or CI run` : undefined),
    url: pageOf,
  },
  {
    kind: "call",
    key: "P",
    label: "pin",
    help: "Pins the failure, so that retention does not remove it, or unpins it.",
    args: ({ name, capture }) => ["capture", capture.notes.pinned ? "unpin" : "pin", name],
    run: async ({ capture, context }, { client, update }) => {
      const pinned = await client(context).captures.pin(capture.id, !capture.notes.pinned);
      // no event tells of it
      update((state) => ({
        ...state,
        hosts: state.hosts.map((host) =>
          host.context === context
            ? { ...host, captures: new Map(host.captures).set(pinned.id, pinned) }
            : host,
        ),
      }));
      return pinned.notes.pinned ? `${pinned.id} is pinned` : `${pinned.id} is no longer pinned`;
    },
  },
  {
    kind: "call",
    key: "v",
    label: "verify",
    help: "Checks the digests of the failure's parts, and thaws it as a test.",
    args: ({ name }) => ["capture", "verify", name],
    run: async ({ capture, context }, { client }) => {
      const report = await client(context).captures.verify(capture.id);
      if (!report.ok) throw new Error(`${capture.id} is damaged or can't be thawed here`);
      return `${capture.id} is intact and can be thawed here`;
    },
  },
  ...travelVerbs("capture"),
  {
    kind: "call",
    key: "d",
    label: "remove",
    help: "Removes the failure, or all marked failures.",
    args: ({ name }) => ["capture", "rm", name],
    question: (rows) => [
      rows.length === 1 ? `Remove ${rows[0]?.name}?` : `Remove ${rows.length} failures?`,
      `Deletes the captured machine and its case file for good, and frees ${formatSize(rows.reduce((sum, { capture }) => sum + capture.storedBytes, 0))}.`,
      ...(rows.some(({ capture }) => capture.notes.pinned)
        ? [rows.length === 1 ? "It is pinned." : "At least one of them is pinned."]
        : []),
    ],
    run: async ({ capture, context }, { client }) => {
      await client(context).captures.remove(capture.id);
      return `${capture.id} was removed`;
    },
  },
];
