/** Tags and removals of one snapshot at once: what was answered holds. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openHome } from "../../engine/home.ts";
import { SnapshotStore } from "../../engine/snapshots/store.ts";

const ID = "0123456789abcdef";
let dir: string;
let store: SnapshotStore;
let folder: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "thaw-tags-"));
  const home = openHome(dir);
  store = new SnapshotStore(home);
  folder = join(home.snapshots, ID);
  await mkdir(folder, { recursive: true });
  await mkdir(home.tags, { recursive: true });
  await store.tag(ID, "first:1");
});
afterEach(() => rm(dir, { recursive: true, force: true }));

test("one that was tagged meanwhile stays, with all its tags", async () => {
  const [, removed] = await Promise.all([store.tag(ID, "second:1"), store.remove(ID, ["first:1"])]);
  expect(removed).toBe(false);
  expect(existsSync(folder)).toBe(true);
  expect([...(await store.tags()).keys()].sort()).toEqual(["first:1", "second:1"]);
});

test("one that was removed meanwhile can't be tagged", async () => {
  const removed = store.remove(ID, ["first:1"]);
  await expect(store.tag(ID, "second:1")).rejects.toMatchObject({ code: "not-found" });
  expect(await removed).toBe(true);
  expect(await store.tags()).toEqual(new Map());
});

test("a change that fails holds up none after it", async () => {
  await expect(store.tag("f".repeat(16), "third:1")).rejects.toMatchObject({ code: "not-found" });
  await store.untag("first:1");
  expect(await store.remove(ID, [])).toBe(true);
  expect(existsSync(folder)).toBe(false);
});
