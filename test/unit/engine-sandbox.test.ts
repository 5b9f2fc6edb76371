/** A sandbox whose machine misbehaves, on a runner that is made to. */
import { mkdtempSync, rmSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { makeSandboxDir } from "../../engine/sandboxes/dir.ts";
import { shownReason } from "../../engine/sandboxes/end-state.ts";
import { connectAgent, freshIdentity } from "../../engine/sandboxes/identity.ts";
import { newPlace, placeOf } from "../../engine/sandboxes/place.ts";
import { sandboxRecord } from "../../engine/sandboxes/record.ts";
import { Sandbox } from "../../engine/sandboxes/sandbox.ts";
import { Agent } from "../../runners/agent/agent.ts";
import type { OpenOptions } from "../../runners/agent/session.ts";
import { type Machine, type MachinePlace, type Runner, RunnerError } from "../../runners/runner.ts";
import { type Pair, socketPair } from "./agent-peer.ts";

let home: string;
let pair: Pair;
beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "thaw-sandbox-"));
  pair = await socketPair();
});
afterEach(() => {
  pair.close();
  rmSync(home, { recursive: true, force: true });
});

const record = () =>
  sandboxRecord.parse({
    ...{ schema: 1, id: "abc", name: "web", state: "failed", from: "base", snapshot: "s", runner: "test" },
    resources: { cpus: 1, memoryMib: 128, diskMib: 1024 },
    defaults: { env: {}, user: "root", workdir: "/" },
    ...{
      labels: {},
      createdAt: "",
      reason: "it broke",
      leased: false,
      keep: false,
      thawMs: null,
      machine: null,
    },
  });

/** A runner whose machine does not die the first `times` times. */
function stubborn(times: number, capabilities: Partial<Runner["capabilities"]> = {}) {
  const asked: MachinePlace[] = [];
  const runner = {
    name: "test",
    capabilities: { memorySnapshots: true, liveFreeze: true, pause: true, pty: true, ...capabilities },
    clear: async (place: MachinePlace) => {
      asked.push(place);
      if (asked.length <= times) throw new RunnerError("timeout", "process 7 did not end within 5000 ms");
    },
  };
  return { runner: runner as unknown as Runner, asked };
}

describe("a machine that does not die", () => {
  test("its sandbox is removing, with the reason, until it does; by itself and for everyone who asks", async () => {
    const dir = join(home, "abc");
    await makeSandboxDir(dir);
    const { runner, asked } = stubborn(2);
    const sandbox = new Sandbox(dir, record(), runner);
    await sandbox.persist();
    const gone = new Promise<void>((resolve) => sandbox.once("gone", resolve));
    let freed = false;
    sandbox.onGone = async () => {
      freed = true;
    };
    const both = await Promise.allSettled([sandbox.remove(), sandbox.remove()]);
    expect(asked).toHaveLength(1);
    for (const one of both)
      expect(one).toMatchObject({
        reason: { code: "timeout", message: expect.stringMatching(/web is not removed yet.*process 7/) },
      });
    expect([sandbox.record.state, freed]).toEqual(["removing", false]);
    expect(sandbox.record.reason).toMatch(/did not end/);
    await expect(sandbox.exec({ argv: ["true"] })).rejects.toMatchObject({ code: "conflict" });
    // Asked again at once, and then by itself.
    await expect(sandbox.remove()).rejects.toMatchObject({ code: "timeout" });
    expect(JSON.parse(await readFile(join(dir, "record.json"), "utf8")).state).toBe("removing");
    await gone;
    expect([sandbox.record.state, freed, await readdir(home)]).toEqual(["removed", true, []]);
    await sandbox.remove();
    expect(asked).toHaveLength(3);
  });
});

describe("a machine of an earlier daemon that does not die", () => {
  test("takes its place until it does, and nothing is thawed in its stead", async () => {
    const dir = join(home, "abc");
    await makeSandboxDir(dir);
    const { runner, asked } = stubborn(2);
    const frozen = { difference: null };
    const sandbox = new Sandbox(dir, { ...record(), state: "stopped", frozen }, runner);
    const told: string[] = [];
    sandbox.on("lingers", () => told.push("lingers"));
    const cleared = new Promise<void>((resolve) => sandbox.once("cleared", resolve));
    await sandbox.restore();
    await sandbox.adopt();
    expect([told, sandbox.takesMachine]).toEqual([["lingers"], true]);
    expect(shownReason(sandbox.record)).toMatch(/^it broke; its machine is still there.*did not end/);
    await expect(sandbox.resume()).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringContaining("has not ended yet"),
    });
    await cleared;
    expect([asked.length, sandbox.takesMachine, shownReason(sandbox.record)]).toEqual([3, false, "it broke"]);
    await sandbox.detach();
  });
});

describe("a machine's id", () => {
  test("is another one with each thaw, and is found whatever the record says", async () => {
    const dir = join(home, "abc");
    await makeSandboxDir(dir);
    expect(await placeOf("abc", dir)).toEqual({ id: "abc", stateDir: dir });
    const [first, second] = [await newPlace("abc", dir), await newPlace("abc", dir)];
    expect(first.id).not.toBe(second.id);
    expect(await placeOf("abc", dir)).toEqual(second);
    const { runner, asked } = stubborn(0);
    await new Sandbox(dir, record(), runner).remove();
    expect(asked).toEqual([second]);
  });
});

describe("what a runner can't do", () => {
  test("is refused before anything is done, all of it at once", async () => {
    const { runner } = stubborn(0, { pty: false, liveFreeze: false });
    const sandbox = new Sandbox(join(home, "abc"), { ...record(), state: "running" }, runner);
    const exec = sandbox.exec({ argv: ["sh"], tty: { rows: 1, cols: 1 }, capture: "always" });
    await expect(exec).rejects.toMatchObject({
      code: "unsupported",
      message:
        "can't run this command: runner test does not support freezing a machine that goes on, terminals",
    });
    expect([sandbox.execs.size, await readdir(home)]).toEqual([0, []]);
  });
});

describe("a guest that could not take its identity", () => {
  const machine = () =>
    ({ agent: (options: OpenOptions) => Agent.connect(pair.host, options) }) as unknown as Machine;

  test("gets no session", async () => {
    const connecting = connectAgent(machine(), { deadlineMs: 60_000, identity: freshIdentity("web") });
    await pair.peer.welcome({ version: 1, agent: "0.1.0", errors: ["machine-id: Read-only file system"] });
    await expect(connecting).rejects.toMatchObject({
      code: "agent-fault",
      message: expect.stringContaining("machine-id: Read-only file system"),
    });
    expect(pair.host.destroyed).toBe(true);
  });
});
