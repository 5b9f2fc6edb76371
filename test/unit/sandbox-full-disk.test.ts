/** A sandbox whose record can't be written, and one whose record a killed daemon could not write. */
import { mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Parts } from "../../engine/parts.ts";
import { makeSandboxDir } from "../../engine/sandboxes/dir.ts";
import { type SandboxRecord, sandboxRecord } from "../../engine/sandboxes/record.ts";
import { Sandbox } from "../../engine/sandboxes/sandbox.ts";
import { extend } from "../../engine/verbs/extend.ts";
import { label } from "../../engine/verbs/label.ts";
import { rename } from "../../engine/verbs/rename.ts";
import { SessionError } from "../../runners/agent/errors.ts";
import type { Machine, Runner } from "../../runners/runner.ts";

let home: string;
let dir: string;
beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "thaw-sandbox-"));
  dir = join(home, "abc");
  await makeSandboxDir(dir);
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const END = "2100-01-01T00:00:00.000Z";
const newRecord = (state: "running" | "paused"): SandboxRecord =>
  sandboxRecord.parse({
    ...{ schema: 1, id: "abc", name: "web", state, from: "base", snapshot: "s", runner: "test" },
    resources: { cpus: 1, memoryMib: 128, diskMib: 1024 },
    defaults: { env: {}, user: "root", workdir: "/" },
    ...{
      labels: { a: "1" },
      createdAt: "2099-12-31T00:00:00.000Z",
      reason: null,
      leased: false,
      keep: false,
    },
    ...{ thawMs: null, machine: null, timers: { expiresAt: END } },
  });

/** A runner whose machine is paused, and whose guest does not answer. @param calls what was asked of the machine */
function pausedMachine(calls: string[]): Runner {
  let state: "paused" | "running" = "paused";
  const machine = {
    state: async () => state,
    pause: async () => {
      calls.push("pause");
      state = "paused";
    },
    resume: async () => {
      calls.push("resume");
      state = "running";
    },
    agent: async () => {
      throw new SessionError("timeout", "no answer");
    },
    onEnd: () => {},
    onDiskGrowth: () => {},
    foreground: async () => {},
    detach: async () => {},
    stop: async () => {},
  };
  const clear = async (): Promise<void> => void calls.push("clear");
  const runner = { name: "test", capabilities: {}, clear, adopt: async () => machine as unknown as Machine };
  return runner as unknown as Runner;
}

test.each([
  ["running", ["resume"]],
  ["paused", []],
] as const)("a machine that an earlier daemon had paused, and whose record says %s", async (state, asked) => {
  const calls: string[] = [];
  const record = { ...newRecord(state), machine: {} as SandboxRecord["machine"] };
  const sandbox = new Sandbox(dir, record, pausedMachine(calls));
  await sandbox.restore();
  await sandbox.adopt();
  expect(calls).toEqual(asked);
  await sandbox.detach();
});

test("a machine whose freezing can't be noted is paused as before, and can be frozen again", async () => {
  const calls: string[] = [];
  const record = { ...newRecord("paused"), machine: {} as SandboxRecord["machine"] };
  const sandbox = new Sandbox(dir, record, pausedMachine(calls));
  await sandbox.restore();
  await sandbox.adopt();
  const freeze = (then: () => void): Promise<void> =>
    sandbox.stopFrozen(async () => {
      then();
      return { snapshot: "own", difference: null };
    }, "stopped");
  await expect(freeze(() => renameSync(dir, `${dir}-away`))).rejects.toThrow("ENOENT");
  const { state, frozen, snapshot, ownSnapshot } = sandbox.record;
  expect([state, frozen, snapshot, ownSnapshot, calls]).toEqual(["paused", null, "s", null, []]);
  renameSync(`${dir}-away`, dir);
  await freeze(() => {});
  expect([sandbox.record.state, sandbox.record.snapshot, calls]).toEqual(["stopped", "own", ["clear"]]);
});

test("a change that can't be written is refused, and undone", async () => {
  const sandbox = new Sandbox(dir, newRecord("running"), pausedMachine([]));
  const names = new Set(["web"]);
  const parts = {
    registry: {
      present: [sandbox],
      find: () => sandbox,
      claim: (name: string) => names.add(name),
      release: (name: string) => names.delete(name),
    },
    config: { required: () => ({ limits: { sandbox: {} } }) },
    lifecycle: { poke: () => {} },
    audit: { note: () => {} },
    events: { append: () => {} },
  } as unknown as Parts;
  renameSync(dir, `${dir}-away`);
  const request = "one";
  await expect(rename(parts, "web", { name: "other", request })).rejects.toThrow("ENOENT");
  await expect(label(parts, "web", { b: "2" })).rejects.toThrow("ENOENT");
  await expect(extend(parts, "web", { byMs: 1000, request })).rejects.toThrow("ENOENT");
  const { name, labels, timers, changes } = sandbox.record;
  expect([name, [...names], labels, timers.expiresAt, changes]).toEqual([
    "web",
    ["web"],
    { a: "1" },
    END,
    [],
  ]);
  // A change that comes while an earlier one waits for the disk stays when the earlier one is undone.
  const both = await Promise.allSettled([
    label(parts, "web", { b: "2" }),
    sandbox.change(() => {
      renameSync(`${dir}-away`, dir);
      sandbox.record.labels = { ...sandbox.record.labels, c: "3" };
      return () => {};
    }),
  ]);
  expect([both.map(({ status }) => status), sandbox.record.labels]).toEqual([
    ["rejected", "fulfilled"],
    { a: "1", c: "3" },
  ]);
  await rename(parts, "web", { name: "other", request });
  await label(parts, "other", { b: "2" });
  await extend(parts, "other", { byMs: 1000, request: "two" });
  expect([sandbox.record.name, sandbox.record.labels]).toEqual(["other", { a: "1", b: "2", c: "3" }]);
});
