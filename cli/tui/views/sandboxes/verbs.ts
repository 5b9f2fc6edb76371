import { chooseExec } from "../../../../client/follow/choose-exec.ts";
import type { Verb } from "../view.ts";
import { createFields } from "./create-form.ts";
import type { SandboxRow } from "./row.ts";

const isAsleep = ({ sandbox }: SandboxRow): boolean => sandbox.state === "paused" || sandbox.frozen;

function runs({ sandbox }: SandboxRow): string | undefined {
  return sandbox.state === "running" || sandbox.state === "paused" || sandbox.frozen
    ? undefined
    : `${sandbox.name} is ${sandbox.state}`;
}

/** A command without a terminal of its own is in the log already: to join it would give it each Ctrl-C, and no key that leaves. */
function attachArgs({ sandbox }: SandboxRow): string[] {
  const exec = chooseExec(sandbox.execs.filter(({ tty, state }) => tty && state === "running"));
  return exec === undefined ? ["shell", sandbox.name] : ["attach", sandbox.name, exec.id];
}

export const SANDBOX_VERBS: readonly Verb<SandboxRow>[] = [
  {
    kind: "terminal",
    key: "return",
    label: "attach",
    help: "Attaches to the newest command that runs in a terminal, or opens a shell. Ctrl-] detaches and returns here.",
    refusal: runs,
    args: attachArgs,
  },
  {
    kind: "terminal",
    key: "s",
    label: "shell",
    help: "Opens a shell in the sandbox.",
    refusal: runs,
    args: ({ name }) => ["shell", name],
  },
  {
    kind: "line",
    key: "x",
    label: "exec",
    help: "Runs a command in the sandbox; the pane Log shows its output.",
    refusal: runs,
    rest: "-- ",
    args: (row) => ["exec", "-d", row?.name ?? ""],
  },
  {
    kind: "call",
    key: "f",
    label: "fork",
    help: "Creates a copy of the sandbox in its current state.",
    refusal: runs,
    args: ({ name }) => ["fork", name],
    run: async ({ sandbox, context }, { client }) => {
      const { sandboxes } = await client(context).sandboxes.at(sandbox.id).fork();
      return `${sandbox.name} was forked: ${sandboxes.map(({ name }) => name).join(", ")}`;
    },
  },
  {
    kind: "line",
    key: "z",
    label: "freeze",
    help: "Creates a snapshot with the tag that you type. The sandbox keeps running.",
    refusal: runs,
    args: (row) => ["freeze", row?.name ?? ""],
    rest: "",
  },
  {
    kind: "call",
    key: "p",
    label: "pause",
    help: "Pauses the sandbox, or resumes it.",
    refusal: runs,
    args: (row) => [isAsleep(row) ? "resume" : "pause", row.name],
    run: async (row, { client }) => {
      const sandbox = client(row.context).sandboxes.at(row.sandbox.id);
      const { name, state } = isAsleep(row) ? await sandbox.resume() : await sandbox.pause();
      return `${name} is ${state}`;
    },
  },
  {
    kind: "line",
    key: "c",
    label: "copy",
    help: "Copies files into or out of the sandbox: complete the command.",
    refusal: runs,
    args: (row) => ["cp", `${row?.name ?? ""}:/tmp/`],
    rest: "./",
  },
  {
    kind: "line",
    key: "o",
    label: "open",
    help: "Prints a link that opens a port of the sandbox in a browser.",
    refusal: runs,
    args: (row) => ["preview", row?.name ?? "", ...(row?.sandbox.listening.slice(0, 1).map(String) ?? [])],
    rest: "",
  },
  {
    kind: "line",
    key: "e",
    label: "extend",
    help: "Extends the sandbox's time to live.",
    args: (row) => ["extend", row?.name ?? ""],
    rest: "30m",
  },
  {
    kind: "call",
    key: "C",
    label: "capture",
    help: "Captures the machine in its current state, as after a failure.",
    refusal: runs,
    args: ({ name }) => ["capture", "create", name],
    run: async ({ sandbox, context }, { client }) =>
      `${sandbox.name} was captured as ${(await client(context).sandboxes.at(sandbox.id).capture()).id}`,
  },
  {
    kind: "terminal",
    key: "l",
    label: "pager",
    help: "Opens the whole log in $PAGER.",
    isPaged: true,
    args: ({ name }) => ["logs", name],
  },
  {
    kind: "form",
    key: "n",
    label: "new",
    help: "Creates a sandbox with a form, which shows the equivalent command.",
    args: ["create"],
    fields: createFields,
  },
  {
    kind: "call",
    key: "d",
    label: "remove",
    help: "Removes the sandbox, or all marked sandboxes.",
    args: ({ name }) => ["rm", name],
    question: (rows) => [
      rows.length === 1 ? `Remove ${rows[0]?.name}?` : `Remove ${rows.length} sandboxes?`,
      "Memory, disk and running commands are lost. Captures and snapshots are kept.",
    ],
    run: async ({ sandbox, context }, { client }) => {
      await client(context).sandboxes.at(sandbox.id).remove();
      return `${sandbox.name} was removed`;
    },
  },
];
