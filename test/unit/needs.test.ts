/** What state that can't be read needs of the host, and what is therefore not removed. */

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SNAPSHOT_PARTS } from "../../api/travel.ts";
import { Pruner } from "../../engine/captures/prune.ts";
import { CaptureStore } from "../../engine/captures/store.ts";
import { Holds } from "../../engine/holds.ts";
import { openHome } from "../../engine/home.ts";
import { SnapshotStore } from "../../engine/snapshots/store.ts";
import { needsOfUnreadable } from "../../engine/state/needs.ts";
import { Quarantine, type QuarantineKind } from "../../engine/state/quarantine.ts";

const BASE = "0123456789abcdef";
const OTHER = "fedcba9876543210";
let home: string;
let quarantine: Quarantine;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "thaw-needs-"));
  quarantine = new Quarantine(home);
});
afterEach(() => rm(home, { recursive: true, force: true }));

/** A sandbox's folder with these files, of which the record can't be read. */
async function damaged(files: Record<string, string | Buffer>): Promise<void> {
  const dir = join(home, "sandboxes", "abc");
  for (const [name, content] of Object.entries(files)) {
    await mkdir(join(dir, name, ".."), { recursive: true });
    await writeFile(join(dir, name), content);
  }
  quarantine.mark({ kind: "sandbox", what: "abc", path: join(dir, "record.json"), reason: "is cut off" });
}
const needs = () => needsOfUnreadable(quarantine, [BASE, OTHER]);

test("a cut record shows its snapshot; what it shows no more may be any capture", async () => {
  await damaged({ "record.json": `{"schema":1,"id":"abc","from":"base","snapshot":"${BASE}","runn` });
  expect(await needs()).toEqual([
    { id: "sandbox/abc", kind: "sandbox", snapshots: new Set([BASE]), captures: null },
  ]);
});

test("an empty record: what its machine has on disk shows it; else it may be anything", async () => {
  await damaged({ "record.json": "", "chain.json": `{"memory":"/s/snapshots/${OTHER}/memory","disks":[]}` });
  expect((await needs())[0]?.snapshots).toEqual(new Set([OTHER]));
  await rm(join(home, "sandboxes", "abc", "chain.json"));
  await damaged({ "disk/overlay.qcow2": Buffer.from(`QFI\xfb\0\0snapshots/${BASE}/disk.qcow2\0`, "latin1") });
  expect((await needs())[0]?.snapshots).toEqual(new Set([BASE]));
  await rm(join(home, "sandboxes", "abc", "disk"), { recursive: true });
  expect(await needs()).toMatchObject([{ snapshots: null, captures: null }]);
});

test("digests, half an id and ids of no snapshot are no needs", async () => {
  await damaged({ "record.json": `{"a":"${BASE}${OTHER}","b":"${BASE.slice(0, 8)}","c":"aaaaaaaaaaaaaaaa` });
  expect((await needs())[0]?.snapshots).toBeNull();
});

test("a record of a newer version shows its snapshot and the capture that it replays", async () => {
  const record = {
    ...{ schema: 99, snapshot: BASE, ownSnapshot: OTHER },
    replay: { capture: "fail-7k2qxz", level: "memory" },
  };
  await damaged({ "record.json": JSON.stringify(record) });
  expect(await needs()).toMatchObject([
    { snapshots: new Set([BASE, OTHER]), captures: new Set(["fail-7k2qxz"]) },
  ]);
});

test.each([
  ["draft", { "taken.json": `{"base":{"from":"base","snapshot":"${BASE}"` }, new Set([BASE])],
  ["draft", { "taken.json": "" }, null],
  ["import", { "import.json": `{"manifest":"{\\"snapshot\\":\\"${OTHER}\\"` }, new Set([OTHER])],
  ["notes", {}, undefined],
] as [QuarantineKind, Record<string, string>, Set<string> | null | undefined][])(
  "a quarantined %s with %j",
  async (kind, files, expected) => {
    const path = join(home, "captures", ".fail-abcdef");
    await mkdir(path, { recursive: true });
    for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text);
    await quarantine.setAside({ kind, what: "x", path, reason: "is empty" });
    // Another daemon finds it by its note alone.
    quarantine = new Quarantine(home);
    const [found] = await needs();
    expect(found?.snapshots).toEqual(expected);
    if (found) expect(found.captures).not.toBeNull();
  },
);

test("a tag that can't be read may name any snapshot", async () => {
  await mkdir(join(home, "tags"));
  await writeFile(join(home, "tags", "base"), BASE.slice(0, 9));
  quarantine.mark({ kind: "tag", what: "base", path: join(home, "tags", "base"), reason: "is cut off" });
  expect(await needs()).toMatchObject([{ id: "tag/base", snapshots: null }]);
});

test("the pruner removes an old snapshot that nothing needs, and not what the unreadable needs or may need", async () => {
  const store = new SnapshotStore(openHome(home), quarantine);
  const [free, needed] = await Promise.all(["free", "needed"].map((name) => oldSnapshot(store, name)));
  const unreadable = async () => needsOfUnreadable(quarantine, [free, needed] as string[]);
  const removed: string[] = [];
  const pruner = new Pruner({
    ...{ captures: new CaptureStore(openHome(home), quarantine, async () => {}), snapshots: store },
    ...{
      holds: new Holds(),
      budgets: () => ({ host: {}, perRepository: {} }),
      sandboxes: () => [],
      unreadable,
    },
    removeCapture: async () => {},
    removeSnapshot: async ({ id }) => void removed.push(id),
  });
  await damaged({ "record.json": "" });
  expect(await pruner.prune({ dryRun: false })).toEqual({
    ...{ captures: [], snapshots: [], unreadable: ["sandbox/abc"] },
  });
  await damaged({ "chain.json": `{"memory":"/s/snapshots/${needed}/memory"}` });
  await pruner.prune({ dryRun: false });
  expect(removed).toEqual([free]);
});

/** Made long ago, without a tag. */
async function oldSnapshot(store: SnapshotStore, name: string): Promise<string> {
  const draft = join(home, "snapshots", `.${name}`);
  await mkdir(draft, { recursive: true });
  for (const part of SNAPSHOT_PARTS) await writeFile(join(draft, part), name);
  const { id } = await store.publish(draft, {
    ...{ createdAt: "2026-01-01T00:00:00.000Z", template: null, warm: [], variantOf: null, bootedFrom: null },
    resources: { cpus: 1, memoryMib: 256, diskMib: 1024 },
    needs: {
      ...{ runner: "qemu", build: "7.2", accelerator: "tcg", machine: "microvm", cpu: "max" },
      ...{ kernel: "6.1", devices: "a" },
    },
    defaults: { env: {}, user: "root", workdir: name },
  });
  return id;
}
