/** Keys of a template's steps, and which kept steps go. */
import { expect, test } from "vitest";
import { formatTemplates } from "../../cli/template/list.ts";
import { chainOf } from "../../engine/templates/chain.ts";
import { bytesOfSteps, chooseSteps, type KeptStep } from "../../engine/templates/choose-steps.ts";
import { parseRecipe } from "../../engine/templates/recipe.ts";

const BOOT = { rootfs: "0123", suite: "bookworm", host: ["agent", "qemu"] };

function keysOf(more = "", boot: Partial<typeof BOOT> = {}): string[] {
  const setup = 'setup: [echo one, { name: two, run: "echo 2" }, echo three]\n';
  const text = `name: t\nfrom: debian:bookworm\n${more.includes("setup:") ? "" : setup}${more}`;
  return chainOf(parseRecipe(text, "t.yaml"), { ...BOOT, ...boot }).map(({ key }) => key);
}
const changed = (keys: readonly string[]) => keysOf().map((key, index) => key !== keys[index]);

test("what a step does not depend on changes no key", () => {
  expect(new Set(keysOf()).size).toBe(4);
  const other =
    "description: d\ntag: t:2\nwarm: [ls]\nonThaw: [date]\nuser: nobody\nworkdir: /srv\nsandboxes: { network: { allow: [example.com] } }\n";
  expect(keysOf(other)).toEqual(keysOf());
  expect(keysOf('setup: [echo one, { name: renamed, run: "echo 2" }, echo three]\n')).toEqual(keysOf());
  expect(keysOf("env: { A: '1', B: '2' }\n")).toEqual(keysOf("env: { B: '2', A: '1' }\n"));
});

test("a step that changed changes its key and those after it", () => {
  expect(changed(keysOf("setup: [echo one, echo two, echo three]\n"))).toEqual([false, false, true, true]);
  expect(changed(keysOf("setup: [echo one, 'echo 2', echo THREE]\n"))).toEqual([false, false, false, true]);
  expect(changed(keysOf("env: { A: '1' }\n"))).toEqual([false, true, true, true]);
  expect(changed(keysOf("network: [example.com]\n"))).toEqual([false, true, true, true]);
});

test("all keys change with the root file system, the resources, and what makes machines", () => {
  const all = [true, true, true, true];
  expect(changed(keysOf("resources: { memory: 1G }\n"))).toEqual(all);
  for (const one of [{ rootfs: "4567" }, { suite: "trixie" }, { host: ["other", "qemu"] }])
    expect(changed(keysOf("", one))).toEqual(all);
});

let inodes = 0;
const step = (id: string, more: Partial<KeptStep> = {}): KeptStep => ({
  ...{ id, key: id, boot: id === "boot" ? null : "boot", createdAt: "2026-01-01", usedAtMs: 0, open: false },
  files: [{ inode: String(inodes++), bytes: 10 }],
  ...more,
});
const limits = {
  maxBytes: 1000,
  maxAgeMs: 1000,
  nowMs: 100,
  needed: new Set<string>(),
  unneededAfterMs: null,
};
const gone = (...args: Parameters<typeof chooseSteps>) =>
  Object.fromEntries(chooseSteps(...args).map(({ id, bytes }) => [id, bytes]));

test("what no built template needs goes when it is asked for, the booted machine only with its last step", () => {
  const all = [step("boot"), step("one"), step("two")];
  expect(gone(all, limits)).toEqual({});
  const asked = { ...limits, unneededAfterMs: 50 };
  expect(gone(all, asked)).toEqual({ boot: 10, one: 10, two: 10 });
  expect(gone(all, { ...asked, needed: new Set(["one"]) })).toEqual({ two: 10 });
  expect(gone(all, { ...asked, nowMs: 40 })).toEqual({});
  expect(gone([step("boot"), step("one", { open: true }), step("two")], asked)).toEqual({ two: 10 });
});

test("over the limit, those go first that no built template needs, then those that were used longest ago", () => {
  const all = [
    step("boot"),
    step("needed", { usedAtMs: 1 }),
    step("old", { usedAtMs: 2 }),
    step("new", { usedAtMs: 3 }),
  ];
  const needed = new Set(["needed"]);
  expect(gone(all, { ...limits, maxBytes: 30, needed })).toEqual({ old: 10 });
  expect(gone(all, { ...limits, maxBytes: 20, needed })).toEqual({ old: 10, new: 10 });
  expect(gone(all, { ...limits, maxBytes: 5, needed })).toEqual({ boot: 10, needed: 10, old: 10, new: 10 });
  expect(gone(all, { ...limits, maxAgeMs: 98, needed })).toEqual({ needed: 10 });
});

test("files that steps share are counted once, and freed with the last of them", () => {
  const shared = { inode: "shared", bytes: 100 };
  const own = (inode: string) => ({ inode, bytes: 1 });
  const all = [
    step("boot", { files: [] }),
    step("one", { files: [shared, own("a")], usedAtMs: 1 }),
    step("two", { files: [shared, own("b")], usedAtMs: 2 }),
  ];
  expect(gone(all, { ...limits, maxBytes: 102 })).toEqual({});
  expect(gone(all, { ...limits, maxBytes: 101 })).toEqual({ one: 1 });
  expect(gone(all, { ...limits, unneededAfterMs: 0 })).toEqual({ boot: 0, one: 101, two: 1 });
});

test("of two with one key the older goes, and so does a step whose booted machine is gone", () => {
  const again = { key: "one", createdAt: "2026-01-02" };
  expect(gone([step("boot"), step("one"), step("again", again)], limits)).toEqual({ one: 10 });
  expect(gone([step("boot"), step("one", { boot: "lost" })], limits)).toEqual({ one: 10 });
});

test("a file that steps share is counted with the oldest of them, and once in what a prune would free", () => {
  const shared = { inode: "shared", bytes: 7 };
  const [boot, old] = [step("boot"), step("old")];
  const young = step("young", { createdAt: "2026-01-02" });
  const all = [
    { ...young, files: [...young.files, shared] },
    { ...old, files: [...old.files, shared] },
    boot,
  ];
  expect(Object.fromEntries(bytesOfSteps(all))).toEqual({ boot: 10, old: 17, young: 10 });

  const kept = (id: string, freesBytes: number) => ({
    ...{ id, name: id, createdAt: "2026-01-01T00:00:00Z", usedAt: "2026-01-01T00:00:00Z" },
    ...{ bytes: 2 << 20, prunable: freesBytes === 0 ? null : "no built template needs it", freesBytes },
  });
  const template = {
    ...{ name: "shop", description: "tests", tag: "shop:1", from: "debian:trixie", shipped: false },
    ...{ resources: { cpus: 1, memoryMib: 512, diskMib: 4096 }, snapshot: "0123", storedBytes: 3 << 20 },
    packages: {
      manager: "dpkg" as const,
      system: "debian trixie",
      count: 9,
      outdated: 2,
      indexAt: "2026-01-02T00:00:00Z",
    },
    ...{ builtAt: "2026-01-01T00:00:00Z", steps: [kept("boot", 0), kept("one", 1 << 20)] },
  };
  const nowMs = Date.parse("2026-01-03T00:00:00Z");
  const text = formatTemplates(
    [
      { ...template, path: "./ci" },
      { ...template, name: "other" },
    ],
    nowMs,
  );
  expect(text.split("\n").map((line) => line.replace(/ {2,}/g, "|"))).toEqual([
    "NAME|TAG|RECIPE|FROM|BUILT|OUTDATED|SIZE|STEPS|DESCRIPTION",
    "shop|shop:1|./ci|debian:trixie|2d ago|2 of 9|3.0 MiB|2, 4.0 MiB|tests",
    "other|shop:1|–|debian:trixie|2d ago|2 of 9|3.0 MiB|2, 4.0 MiB|tests",
    "thaw template prune would free 1.0 MiB of kept steps",
    "",
  ]);
});
