import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { z } from "zod";
import { publish } from "../../durable/publish.ts";
import { writeWhole } from "../../durable/write.ts";
import { clearTorn } from "../../engine/state/entries.ts";
import { Quarantine } from "../../engine/state/quarantine.ts";
import { readRecord, recordKind, writeRecord } from "../../engine/state/record.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "thaw-state-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** Version 3: a name was split in two, then a colour came. */
const kind = recordKind(
  "test record",
  z.strictObject({ first: z.string(), last: z.string(), colour: z.enum(["red", "none"]) }),
  [
    ({ name, ...rest }) => {
      const [first, last] = String(name).split(" ");
      return { ...rest, first, last };
    },
    (old) => ({ ...old, colour: "none" }),
  ],
);

async function read(text: string) {
  const path = join(dir, "record.json");
  await writeFile(path, text);
  return readRecord(path, kind);
}

test("a record is absent, readable or unreadable, and the last says why", async () => {
  expect(await readRecord(join(dir, "none.json"), kind)).toEqual({ state: "absent" });
  const whole = { schema: 3, first: "a", last: "b", colour: "red" };
  expect(await read(JSON.stringify(whole))).toEqual({
    ...{ state: "ok", value: { first: "a", last: "b", colour: "red" } },
  });
  const damaged: [string, RegExp][] = [
    ["", /is empty/],
    ["\0".repeat(300), /not valid JSON/],
    [JSON.stringify(whole).slice(0, 20), /cut off/],
    ["[]", /not a JSON object/],
    ['{"schema":"3"}', /no valid schema version/],
    ['{"schema":3,"first":"a","last":"b","colour":"blue"}', /shape.*"colour"/],
  ];
  for (const [text, reason] of damaged)
    expect(await read(text)).toEqual({
      ...{ state: "unreadable", cause: "damaged", reason: expect.stringMatching(reason) },
    });
  expect(await read('{"schema":4,"anything":[]}')).toEqual({
    ...{ state: "unreadable", cause: "newer", reason: expect.stringContaining("newer thaw") },
  });
  await symlink("loop.json", join(dir, "loop.json"));
  expect(await readRecord(join(dir, "loop.json"), kind)).toMatchObject({ state: "unreadable", cause: "io" });
});

test("records of every older version are migrated when they are read", async () => {
  const value = { first: "Ada", last: "L", colour: "none" };
  expect(await read('{"name":"Ada L"}')).toEqual({ state: "ok", value });
  expect(await read('{"schema":2,"first":"Ada","last":"L"}')).toEqual({ state: "ok", value });
  const path = join(dir, "new.json");
  await writeRecord(path, kind, { first: "Ada", last: "L", colour: "none" }, { survives: "power-loss" });
  expect(JSON.parse(await readFile(path, "utf8"))).toEqual({ schema: 3, ...value });
  expect(await readRecord(path, kind)).toEqual({ state: "ok", value });
});

test("of several writes to one file the last one asked for remains", async () => {
  const path = join(dir, "file");
  const writes = Array.from({ length: 20 }, (_, index) =>
    writeWhole(path, String(index), { survives: index % 2 === 0 ? "power-loss" : "daemon" }),
  );
  await Promise.all(writes);
  expect(await readFile(path, "utf8")).toBe("19");
  expect(await readdir(dir)).toEqual(["file"]);
});

test("a folder is published once, and never over another", async () => {
  const target = join(dir, "target");
  for (const [text, published] of [
    ["first", true],
    ["second", false],
  ] as const) {
    const draft = join(dir, `.draft-${text}`);
    await mkdir(join(draft, "below"), { recursive: true });
    await writeFile(join(draft, "below", "part"), text);
    const manifest = { name: "manifest.json", text: "{}" };
    expect(await publish({ draft, target, manifest })).toBe(published);
  }
  expect(await readFile(join(target, "below", "part"), "utf8")).toBe("first");
  expect(await readdir(dir)).toEqual([".draft-second", "target"]);
});

test("what is set aside is named, and comes back to its place", async () => {
  const path = join(dir, "captures", ".fail-abc");
  await mkdir(path, { recursive: true });
  await writeFile(join(path, "pages"), "evidence");
  const quarantine = new Quarantine(dir);
  const read: string[] = [];
  quarantine.own("draft", { readAgain: async ({ what }) => void read.push(what) });
  const { id } = await quarantine.setAside({ kind: "draft", what: "fail-abc", path, reason: "is empty" });
  await expect(readdir(path)).rejects.toThrow("ENOENT");

  // Another daemon finds it.
  const [entry] = await new Quarantine(dir).list();
  expect(entry).toMatchObject({ id, from: "captures/.fail-abc", reason: "is empty", moved: true });
  expect(id).toMatch(/^draft\/fail-abc-\d{8}T\d+Z$/);

  await mkdir(path);
  await expect(quarantine.restore("fail-abc")).rejects.toThrow("captures/.fail-abc exists again");
  await rm(path, { recursive: true });
  await quarantine.restore("fail-abc");
  expect(await readFile(join(path, "pages"), "utf8")).toBe("evidence");
  expect(read).toEqual(["fail-abc"]);
  expect(await quarantine.list()).toEqual([]);
});

test("what is only marked stays where it is until it can be read again", async () => {
  const path = join(dir, "sandboxes", "abc", "record.json");
  const quarantine = new Quarantine(dir);
  const suspect = { kind: "sandbox", what: "abc", path, reason: "is empty" } as const;
  let stillBad = true;
  quarantine.own("sandbox", {
    readAgain: async () => {
      if (stillBad) quarantine.mark(suspect);
    },
  });
  quarantine.mark(suspect);
  expect(await quarantine.list()).toMatchObject([{ id: "sandbox/abc", moved: false }]);
  await expect(quarantine.restore("abc")).rejects.toThrow("sandbox abc still can't be read");
  await expect(quarantine.remove("abc")).rejects.toThrow("because it is in use at");
  stillBad = false;
  await quarantine.restore("abc");
  expect(await quarantine.list()).toEqual([]);
});

test("a note of a quarantined thing can't lead out of the state folder", async () => {
  const entry = join(dir, "quarantine", "draft", "x-1");
  await mkdir(join(entry, "content"), { recursive: true });
  const note = { schema: 1, kind: "draft", what: "x", reason: "", at: "2026-01-01T00:00:00Z" };
  for (const from of ["../../etc/x", "/etc/x", "a/../../x", ""]) {
    await writeFile(join(entry, "note.json"), JSON.stringify({ ...note, from }));
    await expect(new Quarantine(dir).restore("x-1")).rejects.toThrow("its original place is unknown");
  }
});

test("what a killed daemon was writing is cleared; what this one writes is not", async () => {
  for (const name of [".0123456789ab.tmp", `.${"0123456789ab".repeat(2)}.tmp`, ".hidden", "whole.json"])
    await writeFile(join(dir, name), "");
  const written = writeWhole(join(dir, "large"), Buffer.alloc(100_000_000), { survives: "daemon" });
  await expect.poll(async () => (await readdir(dir)).length).toBe(5);
  await clearTorn(dir);
  await written;
  expect((await readdir(dir)).sort()).toEqual([".hidden", "large", "whole.json"]);
});
