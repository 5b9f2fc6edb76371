import { expect, test } from "vitest";
import { Admission, defaultLimits, type Limits } from "../../engine/admission.ts";
import { parseConfig } from "../../engine/config.ts";
import { EngineError } from "../../engine/errors.ts";
import { readHostMemory } from "../../engine/host-memory.ts";
import type { Progress } from "../../engine/progress.ts";

const limits: Limits = {
  sandboxes: 3,
  memoryMib: 1000,
  reserveMib: 100,
  perSandbox: { cpus: 2, memoryMib: 600 },
};

function line(host = { availableMib: 10_000 }) {
  const admission = new Admission(limits, () => ({ totalMib: 20_000, ...host }));
  const ask = (id: string, memoryMib = 100, waitMs = 0, signal = new AbortController().signal) => {
    const said: string[] = [];
    const onProgress = ({ phase, state }: Progress) => said.push(`${phase} ${state}`);
    const done = admission.admit({ id, name: id, cpus: 1, memoryMib }, { waitMs, onProgress, signal });
    done.catch(() => {});
    return { done, said };
  };
  return { admission, ask, host };
}

test("refused with the figures: sandboxes, memory promised, memory available, a sandbox's own limit", async () => {
  const { admission, ask, host } = line();
  await ask("a", 500).done;
  await expect(ask("b", 550).done).rejects.toThrow("550 MiB needed, 500 of 1000 MiB are given to sandboxes");
  await ask("b").done;
  await ask("c").done;
  await expect(ask("d").done).rejects.toMatchObject({
    code: "no-capacity",
    message: expect.stringContaining("3 of 3 sandboxes"),
    hint: expect.stringContaining("--wait"),
  });
  admission.free("c");
  host.availableMib = 750;
  // those that start are not in the host's figures yet
  await expect(ask("d").done).rejects.toThrow("50 MiB needed, 150 MiB".replace("50", "100"));
  admission.started("a");
  await ask("d").done;
  await expect(ask("e", 700).done).rejects.toThrow("600 MiB at most");
  admission.close();
});

test("a live freeze's second process counts as memory, not as a sandbox", async () => {
  const { admission, ask, host } = line();
  for (const id of ["a", "b", "c"]) await ask(id, 200).done;
  for (const id of ["a", "b", "c"]) admission.started(id);
  const second = { name: "a", memoryMib: 200 };
  await admission.withSecond(second, async () => {
    expect(admission.figures).toMatchObject({ sandboxes: 3, memoryMib: 800 });
    await expect(admission.withSecond({ name: "b", memoryMib: 300 }, async () => {})).rejects.toThrow(
      "no room for the freeze of b: 300 MiB needed, 800 of 1000 MiB are given",
    );
  });
  expect(admission.figures.memoryMib).toBe(600);
  host.availableMib = 250;
  await expect(admission.withSecond(second, async () => {})).rejects.toMatchObject({ code: "no-capacity" });
  admission.close();
});

test("one that was frozen is among the sandboxes already; it asks for its memory again", async () => {
  const { admission, ask } = line();
  for (const id of ["a", "b", "c"]) await ask(id, 300).done;
  admission.ended("a");
  expect(admission.figures).toMatchObject({ sandboxes: 3, memoryMib: 600 });
  await expect(ask("d", 100).done).rejects.toThrow("3 of 3 sandboxes");
  await ask("a", 300).done;
  admission.ended("a");
  await expect(ask("a", 450).done).rejects.toThrow("450 MiB needed, 600 of 1000 MiB");
  admission.close();
});

test("those who wait are let in in order, and hear their place", async () => {
  const { admission, ask } = line();
  for (const id of ["a", "b", "c"]) await ask(id).done;
  const first = ask("d", 100, 60_000);
  const second = ask("e", 100, 60_000);
  // nobody overtakes
  admission.ended("a");
  await expect(ask("f").done).rejects.toThrow("2 wait in line before it");
  expect(first.said).toEqual(["number 1 in line started"]);
  expect(second.said).toEqual(["number 2 in line started"]);
  admission.free("a");
  await first.done;
  expect(second.said).toEqual(["number 2 in line started", "number 1 in line started"]);
  admission.free("b");
  await second.done;
  expect(second.said.at(-1)).toBe("in line done");
  expect(admission.figures).toEqual({ sandboxes: 3, memoryMib: 300, waiting: 0 });
  admission.close();
});

test("a wait that is over, or called off, leaves the line", async () => {
  const { admission, ask } = line();
  for (const id of ["a", "b", "c"]) await ask(id).done;
  const abort = new AbortController();
  const called = ask("d", 100, 60_000, abort.signal);
  const late = ask("e", 100, 30);
  abort.abort(new EngineError("cancelled", "gone"));
  await expect(called.done).rejects.toThrow("gone");
  await expect(late.done).rejects.toMatchObject({ code: "no-capacity" });
  expect(admission.figures.waiting).toBe(0);
  admission.close();
});

test("limits follow from the host", () => {
  const { totalMib, availableMib } = readHostMemory();
  expect(totalMib).toBeGreaterThan(100);
  expect(availableMib).toBeLessThanOrEqual(totalMib);
  expect(defaultLimits(24_000)).toMatchObject({ sandboxes: 375, memoryMib: 48_000, reserveMib: 1200 });
  expect(defaultLimits(400).sandboxes).toBe(8);
});

test("a configuration, read", () => {
  const text = `
defaults: { idle: 15m, ttl: 1d12h, stopAfter: never }
limits:
  sandboxes: 20
  memory: 24G
  sandbox: { ttl: 2d }`;
  expect(parseConfig(text)).toEqual({
    defaults: { idle: 900_000, ttl: 129_600_000, stopAfter: null },
    limits: { sandboxes: 20, memory: 24_576, sandbox: { ttl: 172_800_000 } },
    captures: { perRepository: {} },
  });
  expect(parseConfig("")).toEqual({
    defaults: {},
    limits: { sandbox: {} },
    captures: { perRepository: {} },
  });
});

test("every mistake of a configuration at once", () => {
  const text =
    "defaults: { idle: soon, tll: 1h }\nlimits: { sandboxes: 0, memory: much, sandbox: { cpus: 1.5 } }\nx: 1";
  try {
    parseConfig(text, "/h/config.yaml");
    expect.unreachable();
  } catch (error) {
    expect(error).toMatchObject({ code: "usage", message: "/h/config.yaml has 6 mistakes" });
    expect(
      (error as EngineError).details?.map((one) => one.replace("/h/config.yaml: ", "").split(":")[0]),
    ).toEqual([
      "defaults.idle",
      "defaults.tll",
      "limits.sandboxes",
      "limits.memory",
      "limits.sandbox.cpus",
      "x",
    ]);
  }
  expect(() => parseConfig("a: [1")).toThrow("mistake");
});
