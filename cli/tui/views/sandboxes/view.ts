import { formatNext } from "../../../../api/next.ts";
import { chooseExec } from "../../../../client/follow/choose-exec.ts";
import type { HostState, SandboxInfo } from "../../../../client/index.ts";
import { formatCommand } from "../../../format/ending.ts";
import { formatSize } from "../../../format/size.ts";
import type { Column } from "../../draw/columns.ts";
import { sparkline } from "../../draw/graph.ts";
import type { Tone } from "../../draw/text.ts";
import { hostColumn, rowKey, shortAge } from "../common.ts";
import type { View } from "../view.ts";
import { SANDBOX_PANES } from "./panes.ts";
import type { SandboxRow } from "./row.ts";
import { SANDBOX_VERBS } from "./verbs.ts";

const GRAPH = 6;

const stateTones: Partial<Record<SandboxInfo["state"], Tone>> = {
  running: "good",
  creating: "accent",
  failed: "bad",
  unresponsive: "bad",
};

function showCpu({ usage }: SandboxRow): string {
  const now = usage?.cpuPercent.at(-1);
  if (usage === undefined || now === undefined) return "·";
  return `${sparkline(usage.cpuPercent, 100, GRAPH)} ${`${now.toFixed(0)}%`.padStart(4)}`;
}

function showMemory({ usage, sandbox }: SandboxRow): string {
  const all = sandbox.resources.memoryMib;
  const now = usage?.memoryBytes.at(-1);
  return now === undefined
    ? formatSize(all * 2 ** 20)
    : `${Math.round(now / 2 ** 20)}/${formatSize(all * 2 ** 20)
        .replace("iB", "")
        .replace(" ", "")}`;
}

function showPorts({ sandbox: { ports, listening } }: SandboxRow): string {
  const led = ports.map(({ port, path, guest }) => (port === guest ? `${port}` : `${port ?? path}:${guest}`));
  const others = listening.filter((port) => !ports.some(({ guest }) => guest === port));
  return [...led, ...others].join(" ");
}

const columns: readonly Column<SandboxRow>[] = [
  { title: "NAME", width: 12, grows: 2, rank: 0, cell: ({ name }) => ({ text: name, tone: "strong" }) },
  {
    title: "STATE",
    width: 9,
    grows: 0.3,
    rank: 0,
    cell: ({ sandbox }) => ({
      text: sandbox.frozen ? "frozen" : sandbox.state,
      tone: stateTones[sandbox.state] ?? "dim",
    }),
  },
  { title: "FROM", width: 10, grows: 1, rank: 4, cell: ({ sandbox }) => sandbox.from },
  {
    title: "ISOLATION",
    width: 9,
    rank: 6,
    cell: ({ sandbox: { isolation } }) =>
      isolation === "kvm" ? isolation : { text: isolation, tone: isolation.includes("not") ? "bad" : "warn" },
  },
  { title: "CPU", width: 11, rank: 2, cell: showCpu, order: ({ usage }) => usage?.cpuPercent.at(-1) ?? -1 },
  {
    title: "MEM",
    width: 9,
    rank: 3,
    cell: showMemory,
    order: ({ usage }) => usage?.memoryBytes.at(-1) ?? -1,
  },
  {
    title: "AGE",
    width: 4,
    align: "right",
    rank: 1,
    cell: ({ sandbox }, nowMs) => shortAge(sandbox.createdAt, nowMs),
    order: ({ sandbox }) => Date.parse(sandbox.createdAt),
  },
  { title: "NEXT", width: 14, rank: 3, cell: ({ sandbox }, nowMs) => formatNext(sandbox.next, nowMs) || "–" },
  { title: "PORTS", width: 8, grows: 0.5, rank: 7, cell: (row) => showPorts(row) || "–" },
  {
    title: "COMMAND",
    width: 12,
    grows: 3,
    rank: 8,
    cell: ({ sandbox }) => {
      const exec = chooseExec(sandbox.execs);
      return exec === undefined || exec.state !== "running"
        ? { text: "–", tone: "dim" }
        : formatCommand(exec.argv, 200);
    },
  },
  hostColumn,
];

/** A sandbox that has not changed keeps its row, and what was drawn of it. */
const made = new WeakMap<SandboxInfo, SandboxRow>();

function makeRow(sandbox: SandboxInfo, { context, usage: all }: HostState): SandboxRow {
  const usage = all.get(sandbox.id);
  const before = made.get(sandbox);
  if (before?.context === context && before.usage === usage) return before;
  const labels = Object.entries(sandbox.labels).flat().join(" ");
  const row = {
    key: rowKey(context, sandbox.id),
    context,
    name: sandbox.name,
    text: `${sandbox.name} ${sandbox.state} ${sandbox.from} ${context} ${labels}`,
    sandbox,
    usage,
  };
  made.set(sandbox, row);
  return row;
}

export const sandboxes: View<SandboxRow> = {
  id: "sandboxes",
  title: "Sandboxes",
  columns,
  parts: ["sandboxes", "usage"],
  rows: (hosts) =>
    hosts
      .flatMap((host) => [...host.sandboxes.values()].map((sandbox) => makeRow(sandbox, host)))
      .sort((a, b) => b.sandbox.createdAt.localeCompare(a.sandbox.createdAt)),
  panes: SANDBOX_PANES,
  verbs: SANDBOX_VERBS,
  empty: "no sandboxes: press n to create one, or run  thaw run -- uname -a  in a shell",
};
