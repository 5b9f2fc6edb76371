/** State that can't be read. */
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { testHome } from "../helpers/test-home.ts";
import { killDaemon, machineProcesses, type SandboxRow, thaw, thawJson, until } from "../helpers/thaw.ts";

interface Entry {
  id: string;
  kind: string;
  what: string;
  reason: string;
  from: string;
  moved: boolean;
}

beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
});
afterEach(async () => {
  expect((await thaw(["rm", "--all"])).exitCode).toBe(0);
});

const rows = () => thawJson<SandboxRow[]>(["ls"]);
const names = async () => (await rows()).map(({ name }) => name).sort();
const quarantined = () => thawJson<Entry[]>(["quarantine", "ls"]);
const recordOf = (id: string) => join(testHome(), "sandboxes", id, "record.json");

async function create(name: string, ...flags: string[]): Promise<string> {
  const made = await thaw(["create", "--name", name, ...flags]);
  expect(made.exitCode, String(made.stderr)).toBe(0);
  return (await rows()).find((row) => row.name === name)?.id ?? "";
}

describe("a record that can't be read", () => {
  test("its machine lives on, it is named, the others go on; mended, it is itself again", async () => {
    await create("whole");
    const cut = await create("cut");
    const newer = await create("newer");
    const cold = await create("cold", "--stop-after", "1s");
    for (const name of ["cut", "newer", "cold"])
      expect((await thaw(["exec", name, "--", "sh", "-c", `echo ${name} > /root/f`])).exitCode).toBe(0);
    expect((await thaw(["pause", "cold"])).exitCode).toBe(0);
    await until(async () => (await rows()).some(({ state }) => state === "stopped"), "cold to be frozen");
    await killDaemon();
    const whole = new Map([cut, newer, cold].map((id) => [id, readFileSync(recordOf(id), "utf8")]));
    truncateSync(recordOf(cut), 300);
    writeFileSync(recordOf(newer), (whole.get(newer) ?? "").replace(/"schema":\d+/, '"schema":99'));
    writeFileSync(recordOf(cold), "");

    const listed = await thaw(["ls"]);
    expect(listed.exitCode).toBe(0);
    expect(await names()).toEqual(["whole"]);
    for (const [id, reason] of [
      [cut, "is cut off"],
      [newer, "was written by a newer thaw: schema 99"],
      [cold, "is empty"],
    ] as const) {
      expect(String(listed.stderr)).toContain(`sandbox ${id} is kept: sandboxes/${id}/record.json ${reason}`);
      expect(await quarantined()).toContainEqual(
        expect.objectContaining({
          id: `sandbox/${id}`,
          moved: false,
          reason: expect.stringContaining(reason),
        }),
      );
    }
    expect(String((await thaw(["doctor"])).stdout)).toMatch(/quarantine .*3 can't be read and are kept/);
    for (const id of [cut, newer]) expect(await machineProcesses(id)).not.toEqual([]);
    expect((await thaw(["exec", "whole", "--", "true"])).exitCode).toBe(0);
    // Nobody can tell what they need.
    expect((await thaw(["prune"])).exitCode).toBe(0);

    const early = await thaw(["quarantine", "restore", cut]);
    expect([early.exitCode, String(early.stderr)]).toEqual([
      125,
      expect.stringContaining("still can't be read"),
    ]);
    for (const [id, text] of whole) writeFileSync(recordOf(id), text);
    expect((await thaw(["quarantine", "restore", cut, newer, cold])).exitCode).toBe(0);
    expect(await names()).toEqual(["cold", "cut", "newer", "whole"]);
    for (const name of ["cut", "newer", "cold"])
      expect((await thaw(["exec", name, "--", "cat", "/root/f"])).stdout).toBe(`${name}\n`);
    expect(await quarantined()).toEqual([]);
  });

  test("thaw rm ends its machine and deletes it", async () => {
    const id = await create("lost");
    await killDaemon();
    truncateSync(recordOf(id), 10);
    expect(await names()).toEqual([]);
    expect((await thaw(["rm", id])).exitCode).toBe(0);
    expect(await machineProcesses(id)).toEqual([]);
    expect(existsSync(recordOf(id))).toBe(false);
    expect(await quarantined()).toEqual([]);
  });

  test("what it is based on stays: by what its files show, and everything when they show nothing", async () => {
    await create("source");
    expect((await thaw(["freeze", "source", "needs:1"])).exitCode).toBe(0);
    const { id: snapshot } = await thawJson<{ id: string }>(["snapshot", "inspect", "needs:1"]);
    const id = await create("child", "--snapshot", "needs:1");
    expect((await thaw(["snapshot", "tag", "base", "needs:1"])).exitCode).toBe(0);
    expect((await thaw(["snapshot", "rm", "needs:1"])).exitCode).toBe(0);
    await killDaemon();
    writeFileSync(recordOf(id), "");
    const refused = async (why: string) => {
      const { exitCode, stderr } = await thaw(["snapshot", "rm", snapshot]);
      expect([exitCode, String(stderr)]).toEqual([125, expect.stringContaining(why)]);
      expect(String(stderr)).toContain(`thaw quarantine rm sandbox/${id}`);
    };
    await refused(`snapshot ${snapshot} is in use by sandbox/${id}`);
    rmSync(join(recordOf(id), "..", "chain.json"));
    await refused(`snapshot ${snapshot} may be in use by state that can't be read: sandbox/${id}`);
    const pruned = await thaw(["prune"]);
    expect([pruned.exitCode, pruned.stdout]).toEqual([0, "nothing to remove\n"]);
    expect(String(pruned.stderr)).toContain(`nothing that they may need is removed: sandbox/${id}`);
    expect((await thaw(["rm", id])).exitCode).toBe(0);
    expect((await thaw(["snapshot", "rm", snapshot])).exitCode).toBe(0);
  });

  test("one whose name was given to another comes back when that is gone, and not before", async () => {
    const id = await create("twin");
    expect((await thaw(["exec", "twin", "--", "sh", "-c", "echo first > /root/f"])).exitCode).toBe(0);
    await killDaemon();
    const whole = readFileSync(recordOf(id), "utf8");
    truncateSync(recordOf(id), 100);
    const other = await create("twin");
    writeFileSync(recordOf(id), whole);
    const early = await thaw(["quarantine", "restore", id]);
    expect(early.exitCode).toBe(125);
    expect(String(early.stderr)).toMatch(/is not restored: .* has the name of another sandbox, twin/);
    expect(String(early.stderr)).toContain(`thaw rm twin, then: thaw quarantine restore ${id}`);
    // Also a daemon that finds both whole lists one of them, and names the other.
    await killDaemon();
    const [listed] = await rows();
    const kept = [id, other].find((one) => one !== listed?.id) ?? "";
    expect(await quarantined()).toMatchObject([{ id: `sandbox/${kept}` }]);
    for (const one of [id, other]) expect(await machineProcesses(one)).not.toEqual([]);
    expect((await thaw(["rm", listed?.id ?? ""])).exitCode).toBe(0);
    expect((await thaw(["quarantine", "restore", kept])).exitCode).toBe(0);
    const expected = kept === id ? "first\n" : "";
    expect((await thaw(["exec", "twin", "--", "sh", "-c", "cat /root/f 2>/dev/null || :"])).stdout).toBe(
      expected,
    );
  });

  test("the draft of a capture is moved away, and stored once it is restored", async () => {
    const home = testHome();
    expect((await thaw(["run", "--capture", "on-failure", "--", "sh", "-c", "exit 3"])).exitCode).toBe(3);
    const [{ id } = { id: "" }] = await thawJson<{ id: string }[]>(["capture", "ls"]);
    await until(() => existsSync(join(home, "captures", id)), "the capture to be stored");
    await killDaemon();
    // As a daemon leaves it that is killed right after the freeze, with a record that the power took.
    const draft = join(home, "captures", `.${id}aa`);
    cpSync(join(home, "captures", id), draft, { recursive: true });
    const taken = join(draft, "taken.json");
    writeFileSync(taken, "");
    expect((await thaw(["ls"])).exitCode).toBe(0);
    const [entry] = await quarantined();
    expect(entry).toMatchObject({
      kind: "draft",
      what: `${id}aa`,
      reason: "taken.json is empty",
      moved: true,
    });
    expect(existsSync(draft)).toBe(false);
    expect((await thaw(["quarantine", "rm", `${id}aa`])).exitCode).toBe(0);
    expect(await quarantined()).toEqual([]);
    expect((await thaw(["capture", "rm", id])).exitCode).toBe(0);
  });

  test("masked values that can't be looked for: the capture does not leave the host", async () => {
    const home = testHome();
    const run = ["run", "--capture", "on-failure", "--env", "SECRET=hunter2hunter2", "--mask", "SECRET"];
    expect((await thaw([...run, "--", "sh", "-c", "exit 3"])).exitCode).toBe(3);
    const [{ id } = { id: "" }] = await thawJson<{ id: string }[]>(["capture", "ls"]);
    await until(() => existsSync(join(home, "captures", id, "notes.json")), "the notes");
    await killDaemon();
    rmSync(join(home, "captures", id, "notes.json"));
    writeFileSync(join(home, "captures", id, "secrets.json"), '{"salt":');
    const to = mkdtempSync("/tmp/thaw-state-out-");
    try {
      const exported = await thaw(["capture", "export", id, join(to, "out.tar")]);
      expect(exported.exitCode).toBe(125);
      expect(String(exported.stderr)).toMatch(/secrets\.json is cut off/);
      expect(readdirSync(to)).toEqual([]);
    } finally {
      rmSync(to, { recursive: true });
    }
    expect((await thaw(["capture", "rm", id])).exitCode).toBe(0);
  });
});
