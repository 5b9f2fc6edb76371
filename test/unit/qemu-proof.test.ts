import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { recall, remember } from "../../runners/host/host-json.ts";
import { Proof, retryMs } from "../../runners/host/proof.ts";
import { RunnerError } from "../../runners/runner.ts";

const homes: string[] = [];
afterEach(() => {
  for (const home of homes.splice(0)) rmSync(home, { recursive: true });
});

function makeHome(): string {
  const home = mkdtempSync("/tmp/thaw-proof-");
  homes.push(home);
  return home;
}
const proofIn = (home: string) =>
  new Proof<object>({
    home,
    section: "difference",
    untried: "never tried",
    key: () => Promise.resolve("QEMU 1"),
    parse: () => ({}),
  });
const hostJson = (home: string) => JSON.parse(readFileSync(join(home, "host.json"), "utf8"));

test("eight callers at once: one try, and all have its result", async () => {
  const home = makeHome();
  const proof = proofIn(home);
  let tries = 0;
  const go = Promise.withResolvers<void>();
  const run = async () => {
    tries += 1;
    await go.promise;
    return {};
  };
  const callers = Array.from({ length: 8 }, () => proof.prove(run));
  go.resolve();
  const found = await Promise.all(callers);
  expect(tries).toBe(1);
  for (const verdict of found) expect(verdict).toMatchObject({ state: "works", at: expect.any(String) });
  expect(hostJson(home).difference).toMatchObject({ key: "QEMU 1", value: { state: "works" } });
});

test("the caller whose try it is gives up: the next one tries, and no other fails", async () => {
  const proof = proofIn(makeHome());
  const first = new AbortController();
  const begun = Promise.withResolvers<void>();
  const failing = proof.prove(
    () =>
      new Promise((_, reject) => {
        first.signal.addEventListener("abort", () => reject(first.signal.reason as Error));
        begun.resolve();
      }),
    first.signal,
  );
  await begun.promise;
  let tries = 0;
  const others = [1, 2, 3].map(() =>
    proof.prove(() => {
      tries += 1;
      return Promise.resolve({});
    }),
  );
  const leaving = new AbortController();
  const waiting = proof.prove(() => Promise.reject(new Error("not this one's turn")), leaving.signal);
  leaving.abort(new Error("left"));
  await expect(waiting).rejects.toThrow("left");
  first.abort(new Error("gave up"));
  await expect(failing).rejects.toThrow("gave up");
  for (const verdict of await Promise.all(others)) expect(verdict.state).toBe("works");
  expect(tries).toBe(1);
});

test("a failure holds for a minute, then two, an hour at most; then it is tried again", async () => {
  const home = makeHome();
  const fail = () => Promise.reject(new RunnerError("start-failed", "ptrace is forbidden"));
  const proof = proofIn(home);
  expect(await proof.prove(fail)).toMatchObject({
    state: "broken",
    reason: expect.stringMatching(/^ptrace is forbidden \(failed, last at .*; tried again after 20.*\)$/),
  });
  expect(await proof.prove(() => Promise.reject(new Error("tried too early")))).toMatchObject({
    state: "broken",
  });
  const passTime = () => {
    const all = hostJson(home);
    all.difference.value.retryAt = new Date(Date.now() - 1).toISOString();
    writeFileSync(join(home, "host.json"), JSON.stringify(all));
  };
  passTime();
  expect(await proof.recall()).toMatchObject({
    state: "unproven",
    reason: expect.stringContaining("ptrace"),
  });
  const before = Date.now();
  expect(await proof.prove(fail)).toMatchObject({
    state: "broken",
    reason: expect.stringContaining("2 times"),
  });
  const { failures, retryAt } = hostJson(home).difference.value;
  expect(failures).toBe(2);
  expect(Date.parse(retryAt) - before).toBeGreaterThanOrEqual(120_000);
  expect([1, 2, 3, 7, 50].map(retryMs)).toEqual([60_000, 120_000, 240_000, 3_600_000, 3_600_000]);
  passTime();
  expect(await proof.prove(() => Promise.resolve({}))).toMatchObject({ state: "works" });
  expect(await proofIn(home).recall()).toMatchObject({ state: "works" });
});

test("a clock that was set back does not make a failure last", async () => {
  const home = makeHome();
  const value = {
    state: "broken",
    reason: "x",
    failures: 1,
    at: "2099-01-01T00:00:00Z",
    retryAt: "2099-01-01T00:01:00Z",
  };
  await remember(home, "difference", "QEMU 1", value);
  expect((await proofIn(home).recall()).state).toBe("unproven");
});

test.each([
  ["timeout", new RunnerError("timeout", "the guest was slow")],
  ["no space", new RunnerError("no-space", "the disk is full")],
  ["no memory", new RunnerError("no-memory", "no memory")],
  ["the system's no space", Object.assign(new Error("write"), { code: "ENOSPC" })],
])("a try that ended for want of time or room is no verdict: %s", async (_, error) => {
  const home = makeHome();
  const proof = proofIn(home);
  const verdict = await proof.prove(() => Promise.reject(error));
  expect(verdict).toMatchObject({ state: "broken", reason: expect.stringContaining(error.message) });
  expect(recall(home, "difference", "QEMU 1", (value) => value)).toBeUndefined();
  // A new process knows nothing of it.
  expect((await proofIn(home).recall()).state).toBe("unproven");
});

test("what an earlier version remembered: a success holds, a failure is tried again", async () => {
  const home = makeHome();
  await remember(home, "difference", "QEMU 1", { state: "works" });
  expect(await proofIn(home).recall()).toEqual({ state: "works", at: null });
  await remember(home, "difference", "QEMU 1", { state: "broken", reason: "once" });
  expect(await proofIn(home).recall()).toMatchObject({
    state: "unproven",
    reason: expect.stringContaining("once"),
  });
  await remember(home, "difference", "QEMU 2", { state: "works" });
  expect((await proofIn(home).recall()).state).toBe("unproven");
});

test("sections that are written at the same time are all kept", async () => {
  const home = makeHome();
  const sections = Array.from({ length: 20 }, (_, index) => `section-${index}`);
  await Promise.all(sections.map((section) => remember(home, section, "key", section)));
  expect(Object.keys(hostJson(home)).sort()).toEqual([...sections].sort());
});
