import type { HostState } from "../../../../client/index.ts";
import { formatSize } from "../../../format/size.ts";
import type { Column } from "../../draw/columns.ts";
import { bar } from "../../draw/graph.ts";
import { type Line, padTo } from "../../draw/text.ts";
import { heading, pairs, plain, shortAge } from "../common.ts";
import type { Pane, Row, Verb, View } from "../view.ts";

interface HostRow extends Row {
  host: HostState;
}

const columns: readonly Column<HostRow>[] = [
  { title: "CONTEXT", width: 12, grows: 1, rank: 0, cell: ({ name }) => ({ text: name, tone: "strong" }) },
  {
    title: "STATE",
    width: 10,
    rank: 0,
    cell: ({ host: { status, doctor } }) => {
      if (status !== "here") return { text: status, tone: status === "offline" ? "bad" : "dim" };
      return doctor?.ready === false ? { text: "not ready", tone: "warn" } : { text: "ready", tone: "good" };
    },
  },
  { title: "HOST", width: 12, grows: 1, rank: 3, cell: ({ host }) => host.info?.host ?? "–" },
  { title: "VERSION", width: 8, rank: 4, cell: ({ host }) => host.info?.version ?? "–" },
  { title: "SANDBOXES", width: 9, align: "right", rank: 1, cell: ({ host }) => String(host.sandboxes.size) },
  { title: "FAILURES", width: 8, align: "right", rank: 2, cell: ({ host }) => String(host.captures.size) },
  {
    title: "MEMORY",
    width: 18,
    rank: 2,
    cell: ({ host: { machine } }) =>
      machine === undefined
        ? "–"
        : `${bar(1 - machine.availableMib / machine.memoryMib, 8)} ${formatSize(machine.memoryMib * 2 ** 20)}`,
  },
  {
    title: "PROBLEM",
    width: 10,
    grows: 3,
    rank: 5,
    cell: ({ host }) => ({ text: host.trouble?.message ?? "", tone: "bad" }),
  },
];

const marks = {
  ok: { text: " ✓ ", tone: "good" },
  warning: { text: " ! ", tone: "warn" },
  missing: { text: " ✗ ", tone: "bad" },
} as const;

const doctor: Pane<HostRow> = {
  title: "Doctor",
  lines: ({ host: { doctor, trouble, status } }) => {
    if (status !== "here")
      return [plain(trouble?.message ?? status, "bad"), plain(trouble?.hint ?? "retrying", "dim")];
    if (doctor === undefined) return [plain("loading…", "dim")];
    return doctor.probes.flatMap(({ name, state, detail, hint }): Line[] => [
      [marks[state], { text: padTo(name, 15), tone: "strong" }, { text: detail }],
      ...(hint === undefined || state === "ok" ? [] : [plain(`   → ${hint}`, "dim")]),
    ]);
  },
};

const detail: Pane<HostRow> = {
  title: "Usage",
  lines: ({ host }, { nowMs }) => {
    const { info, machine } = host;
    const stored = (values: Iterable<{ storedBytes: number }>): number =>
      [...values].reduce((sum, { storedBytes }) => sum + storedBytes, 0);
    const promised = [...host.sandboxes.values()].reduce(
      (sum, { resources }) => sum + resources.memoryMib,
      0,
    );
    return [
      ...(machine === undefined
        ? []
        : [
            plain(
              `memory in use      ${bar(1 - machine.availableMib / machine.memoryMib, 30)} ${formatSize((machine.memoryMib - machine.availableMib) * 2 ** 20)} of ${formatSize(machine.memoryMib * 2 ** 20)}`,
            ),
            plain(
              `sandboxes, at most ${bar(promised / machine.memoryMib, 30)} ${formatSize(promised * 2 ** 20)}`,
            ),
            [],
          ]),
      heading("Daemon"),
      ...pairs([
        ["version", info === undefined ? undefined : `${info.version} (${info.digest})`],
        [
          "running for",
          info === undefined
            ? undefined
            : `${shortAge(info.startedAt, nowMs)}, process ${info.pid}, ${formatSize(info.rssBytes)}`,
        ],
        ["state folder", info?.home],
        ["snapshots", `${host.snapshots.size}, ${formatSize(stored(host.snapshots.values()))}`],
        ["failures", `${host.captures.size}, ${formatSize(stored(host.captures.values()))}`],
      ]),
    ];
  },
};

const verbs: readonly Verb<HostRow>[] = [
  {
    kind: "terminal",
    key: "return",
    label: "doctor",
    help: "Shows the full report of thaw doctor in $PAGER.",
    isPaged: true,
    args: () => ["doctor"],
  },
  {
    kind: "terminal",
    key: "l",
    label: "daemon log",
    help: "Opens the daemon's log in $PAGER.",
    isPaged: true,
    args: () => ["daemon", "logs"],
  },
  {
    kind: "line",
    key: "n",
    label: "new context",
    help: "Adds another host as a context: complete the command.",
    rowless: true,
    args: () => ["context", "add"],
    rest: "NAME ssh://",
  },
  {
    kind: "call",
    key: "D",
    label: "prune",
    help: "Removes failures that exceed the host's budgets, and unused snapshots.",
    args: () => ["prune"],
    question: (rows) => [
      `Prune ${rows[0]?.name}?`,
      "Removes failures that exceed the host's budgets, and unused snapshots. To list them first: thaw prune --dry-run",
    ],
    run: async ({ context }, { client }) => {
      const { captures, snapshots, compressed, caches, steps, rootfs } = await client(context).host.prune();
      const gone = [captures, snapshots, compressed, caches, steps, rootfs].flat();
      const bytes = gone.reduce((sum, removal) => sum + removal.bytes, 0);
      return `${captures.length} failures and ${snapshots.length} snapshots were removed, ${formatSize(bytes)} freed`;
    },
  },
];

export const hosts: View<HostRow> = {
  id: "hosts",
  title: "Hosts",
  columns,
  rows: (all) =>
    all.map(
      (host): HostRow => ({
        key: host.context,
        context: host.context,
        name: host.context,
        text: `${host.context} ${host.info?.host ?? ""} ${host.status}`,
        host,
      }),
    ),
  panes: [doctor, detail],
  verbs,
  empty: "",
};
