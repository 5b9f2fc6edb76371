import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type Capture,
  type DiskUse,
  findPaths,
  type PruneReport,
  type Snapshot,
  Thaw,
} from "../../client/index.ts";
import { testHome } from "../helpers/test-home.ts";
import { thaw, thawJson, until } from "../helpers/thaw.ts";

const config = () => join(testHome(), "config.yaml");
async function configure(text: string): Promise<void> {
  writeFileSync(config(), text);
  await thaw(["daemon", "stop"]);
}
const captures = async () => (await thawJson<Capture[]>(["capture", "ls"])).map(({ id }) => id).sort();
const prune = (...flags: string[]) => thawJson<PruneReport>(["prune", ...flags]);
const diskOf = async (kind: string) => {
  const { kinds } = await thawJson<DiskUse>(["df"]);
  return kinds.find((one) => one.kind === kind) as DiskUse["kinds"][number];
};
const ids = (list: readonly { id: string }[]) => list.map(({ id }) => id);
async function fail(): Promise<string> {
  await thaw(["run", "--capture", "on-failure", "--", "sh", "-c", "echo same words; exit 3"]);
  return (await thawJson<Capture>(["capture", "show", "latest"])).id;
}

beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
  const left = await captures();
  if (left.length > 0) await thaw(["capture", "rm", ...left]);
  await configure("captures: { maxCount: 2 }\n");
});
afterAll(async () => {
  await thaw(["rm", "--all"]);
  await thaw(["snapshot", "rm", "prune:1"]);
  rmSync(config(), { force: true });
  await thaw(["daemon", "stop"]);
});

test("a new capture sends the oldest away, but not the first, the latest, what is pinned, or replayed", async () => {
  const first = await fail();
  const second = await fail();
  expect((await thaw(["capture", "pin", second])).exitCode).toBe(0);
  const third = await fail();
  expect(await captures()).toEqual([first, second, third].sort());
  const fourth = await fail();
  await until(async () => !(await captures()).includes(third), "the third to go");
  expect(await captures()).toEqual([first, second, fourth].sort());
  const audit = readFileSync(join(testHome(), "audit.jsonl"), "utf8").trimEnd().split("\n");
  expect(audit.map((line) => JSON.parse(line))).toContainEqual(
    expect.objectContaining({ verb: "prune", target: third, reason: expect.stringContaining("maxCount") }),
  );

  const replay = await thaw(["replay", "--keep", "--name", "again", second, "--", "true"]);
  expect(replay.exitCode, String(replay.stderr)).toBe(0);
  await thaw(["capture", "unpin", second]);
  expect((await prune()).captures).toEqual([]);
  await thaw(["rm", "again"]);
  expect(ids((await prune("--dry-run")).captures)).toEqual([second]);
  expect(await captures()).toContain(second);
  const disk = await diskOf("captures");
  expect(ids(disk.entries)).toEqual(await captures());
  expect(disk.prunableBytes).toBeGreaterThan(0);
  expect(disk.prunableBytes).toBe(disk.entries.find(({ id }) => id === second)?.freesBytes);
  const table = String((await thaw(["df", "--verbose"])).stdout);
  expect(table).toMatch(/^captures +3 .*^all .* are reserved$/ms);
  expect(table).toMatch(new RegExp(`^capture +${second} `, "m"));
  expect((await thaw(["prune"])).stdout).toMatch(
    new RegExp(`capture +${second} .*more than the 2 that this host keeps[^]*freed\n$`),
  );
  expect(await captures()).toEqual([first, fourth].sort());
  expect(await diskOf("captures")).toMatchObject({ count: 2, prunableBytes: 0 });
  expect((await prune()).captures).toEqual([]);

  await using client = new Thaw({
    ...findPaths({ ...process.env, THAW_HOME: testHome() }),
    autostart: false,
  });
  expect((await client.captures.setMaxAge(fourth, 3_600_000)).notes.maxAgeMs).toBe(3_600_000);
  expect((await thaw(["capture", "show", fourth])).stdout).toMatch(/kept +until .*Z at most/);
  expect((await prune()).captures).toEqual([]);
  await client.captures.setMaxAge(fourth, 1);
  expect((await prune()).captures).toMatchObject([
    { id: fourth, reason: expect.stringContaining("retention") },
  ]);
});

test("a snapshot goes when its tag, its sandboxes and its last capture are gone; templates stay", async () => {
  await thaw(["create", "--name", "source"]);
  expect((await thaw(["freeze", "source", "prune:1"])).exitCode).toBe(0);
  const { id: snapshot } = await thawJson<Snapshot>(["snapshot", "inspect", "prune:1"]);
  await thaw(["create", "--name", "child", "--snapshot", "prune:1"]);
  const { id: capture } = await thawJson<Capture>(["capture", "create", "child"]);
  await thaw(["snapshot", "tag", "base", "prune:1"]);
  const child = (await diskOf("sandboxes")).entries.find(({ name }) => name === "child");
  expect(child?.bytes).toBeGreaterThan(0);
  expect((await diskOf("snapshots")).entries.find(({ id }) => id === snapshot)?.freesBytes).toBeGreaterThan(
    0,
  );
  const left = async () => ids(await thawJson<Snapshot[]>(["snapshot", "ls"]));
  const before = await left();
  expect(ids((await prune("--dry-run")).snapshots)).not.toContain(snapshot);
  await thaw(["rm", "child", "source"]);
  expect(ids((await prune("--dry-run")).snapshots)).not.toContain(snapshot);
  await thaw(["capture", "rm", capture]);
  // One that was just made may be about to be used.
  await until(
    async () => ids((await prune("--dry-run")).snapshots).includes(snapshot),
    "the snapshot to be unneeded",
  );
  const { snapshots } = await prune();
  expect(snapshots.find(({ id }) => id === snapshot)?.bytes).toBeGreaterThan(0);
  expect(await left()).toEqual(before.filter((id) => !ids(snapshots).includes(id)));
  expect((await thaw(["run", "--", "true"])).exitCode).toBe(0);
});
