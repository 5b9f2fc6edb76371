import { type Holders, holdersOf, ownBytes, sharedBytes } from "../../../../client/follow/shares.ts";
import type { SandboxInfo, Snapshot } from "../../../../client/index.ts";
import { formatSize } from "../../../format/size.ts";
import type { Column } from "../../draw/columns.ts";
import { heading, hostColumn, pairs, plain, rowKey, shortAge, travelVerbs } from "../common.ts";
import { drawTree } from "../failures/lineage.ts";
import type { Pane, Row, Verb, View } from "../view.ts";

interface SnapshotRow extends Row {
  snapshot: Snapshot;
  /** Sandboxes that were thawed from it: those that are there now, not those of the time when it was asked for. */
  users: readonly SandboxInfo[];
  /** How many of the host's snapshots have a part, by its digest: they share the file. */
  holders: Holders;
}

/** Bytes of the parts that no other snapshot of a row's host has. */
function ownBytesOf(rows: readonly SnapshotRow[]): number {
  return [...Map.groupBy(rows, ({ holders }) => holders)].reduce(
    (sum, [holders, ofHost]) =>
      sum +
      ownBytes(
        ofHost.map(({ snapshot }) => snapshot),
        holders,
      ),
    0,
  );
}

function formatShares(row: SnapshotRow): string {
  const own = ownBytesOf([row]);
  const shared = sharedBytes(row.snapshot, row.holders);
  return shared === 0
    ? formatSize(own)
    : `${formatSize(own)} of its own, ${formatSize(shared)} shared with other snapshots`;
}

const columns: readonly Column<SnapshotRow>[] = [
  { title: "TAG", width: 16, grows: 2, rank: 0, cell: ({ name }) => ({ text: name, tone: "strong" }) },
  { title: "TEMPLATE", width: 10, grows: 1, rank: 4, cell: ({ snapshot }) => snapshot.template ?? "–" },
  { title: "ID", width: 14, rank: 3, cell: ({ snapshot }) => ({ text: snapshot.id, tone: "dim" }) },
  {
    title: "AGE",
    width: 4,
    align: "right",
    rank: 1,
    cell: ({ snapshot }, nowMs) => shortAge(snapshot.createdAt, nowMs),
    order: ({ snapshot }) => Date.parse(snapshot.createdAt),
  },
  {
    title: "SIZE",
    width: 8,
    align: "right",
    rank: 0,
    cell: ({ snapshot }) => formatSize(snapshot.storedBytes),
    order: ({ snapshot }) => snapshot.storedBytes,
  },
  {
    title: "USED BY",
    width: 8,
    align: "right",
    rank: 1,
    cell: ({ users }) => String(users.length),
    order: ({ users }) => users.length,
  },
  {
    title: "THAWS HERE",
    width: 10,
    grows: 1,
    rank: 2,
    cell: ({ snapshot: { incompatible } }) =>
      incompatible.length === 0
        ? { text: "yes", tone: "good" }
        : { text: `no: ${incompatible[0]}`, tone: "bad" },
  },
  hostColumn,
];

function userNodes(users: readonly SandboxInfo[]) {
  return users.map(({ name, from }) => ({
    text: name,
    note: from.startsWith("fork of ") ? `sandbox, ${from}` : "sandbox",
    children: [],
  }));
}

const detail: Pane<SnapshotRow> = {
  title: "Detail",
  lines: (row, { hosts }) => {
    const { snapshot, users, context } = row;
    const host = hosts.find((each) => each.context === context);
    const captures = [...(host?.captures.values() ?? [])]
      .filter(({ base }) => base.snapshot === snapshot.id)
      .slice(0, 20)
      .map(({ id }) => ({ text: id, note: "failure", children: [] }));
    const { needs, resources, defaults } = snapshot;
    return [
      ...pairs([
        ["id", snapshot.id],
        ["tags", snapshot.tags.join(", ")],
        ["created", snapshot.createdAt],
        ["size", formatShares(row)],
        [
          "machine",
          `${resources.cpus} CPUs, ${formatSize(resources.memoryMib * 2 ** 20)} memory, ${formatSize(resources.diskMib * 2 ** 20)} disk`,
        ],
        ["needs", `${needs.runner} ${needs.build}, ${needs.accelerator}, ${needs.cpu}, ${needs.machine}`],
        ["kernel", needs.kernel],
        ["commands", `as ${defaults.user} in ${defaults.workdir}`],
        ["incompatible", snapshot.incompatible.join("; "), "bad"],
      ]),
      [],
      heading("Parts"),
      ...snapshot.parts.map(({ name, sizeBytes, storedBytes }) =>
        plain(`${name.padEnd(12)} ${formatSize(sizeBytes).padStart(8)}, ${formatSize(storedBytes)} on disk`),
      ),
      [],
      heading("Lineage"),
      ...drawTree({
        text: snapshot.template === null ? "frozen from a sandbox" : `template ${snapshot.template}`,
        children: [
          {
            text: snapshot.tags[0] ?? snapshot.id,
            isThis: true,
            children: [...userNodes(users), ...captures],
          },
        ],
      }),
    ];
  },
};

const thaws = ({ snapshot, name }: SnapshotRow): string | undefined =>
  snapshot.incompatible.length === 0
    ? undefined
    : `${name} can't be thawed here: ${snapshot.incompatible.join("; ")}`;

const verbs: readonly Verb<SnapshotRow>[] = [
  {
    kind: "call",
    key: "return",
    label: "thaw",
    help: "Creates a sandbox from the snapshot.",
    refusal: thaws,
    args: ({ name }) => ["create", "--snapshot", name],
    run: async ({ snapshot, context }, { client }) =>
      `${(await client(context).sandboxes.create({ source: { snapshot: snapshot.id } })).name} is running`,
  },
  {
    kind: "line",
    key: "t",
    label: "tag",
    help: "Tags the snapshot: complete the command.",
    args: (row) => ["snapshot", "tag", row?.name ?? ""],
    rest: "",
  },
  ...travelVerbs("snapshot"),
  {
    kind: "call",
    key: "v",
    label: "verify",
    help: "Checks the digest of every part.",
    args: ({ name }) => ["snapshot", "verify", name],
    run: async ({ snapshot, context, name }, { client }) => {
      const { ok, parts } = await client(context).snapshots.verify(snapshot.id);
      if (!ok)
        throw new Error(
          `${name} is damaged: ${parts
            .filter((part) => !part.ok)
            .map((part) => part.name)
            .join(", ")}`,
        );
      return `${name} is intact`;
    },
  },
  {
    kind: "call",
    key: "d",
    label: "remove",
    help: "Removes the snapshot, or all marked snapshots. If the snapshot has several tags, removes only the first tag.",
    args: ({ name }) => ["snapshot", "rm", name],
    question: (rows) => [
      rows.length === 1 ? `Remove ${rows[0]?.name}?` : `Remove ${rows.length} snapshots?`,
      `Frees up to ${formatSize(ownBytesOf(rows))}. A snapshot that a sandbox or a failure needs is not removed.`,
      ...rows
        .filter(({ users }) => users.length > 0)
        .slice(0, 3)
        .map(
          ({ name, users }) =>
            `${name} is used by ${users.length === 1 ? "1 sandbox" : `${users.length} sandboxes`}.`,
        ),
    ],
    run: async ({ name, context }, { client }) => {
      await client(context).snapshots.remove(name);
      return `${name} was removed`;
    },
  },
];

export const snapshots: View<SnapshotRow> = {
  id: "snapshots",
  title: "Snapshots",
  columns,
  parts: ["snapshots", "sandboxes"],
  rows: (hosts) =>
    hosts
      .flatMap(({ context, snapshots, sandboxes }) => {
        const users = Map.groupBy(sandboxes.values(), ({ snapshot }) => snapshot);
        const holders = holdersOf(snapshots.values());
        return [...snapshots.values()].map(
          (snapshot): SnapshotRow => ({
            key: rowKey(context, snapshot.id),
            context,
            name: snapshot.tags[0] ?? snapshot.id,
            text: `${snapshot.tags.join(" ")} ${snapshot.id} ${snapshot.template ?? ""} ${context}`,
            snapshot,
            users: users.get(snapshot.id) ?? [],
            holders,
          }),
        );
      })
      .sort((a, b) => b.snapshot.createdAt.localeCompare(a.snapshot.createdAt)),
  panes: [detail],
  verbs,
  empty: "no snapshots; to build one: thaw template build base",
};
