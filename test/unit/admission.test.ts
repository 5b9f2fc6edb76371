import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Admission, defaultLimits, type Limits } from "../../engine/admission.ts";
import { configProbes, HostConfig, parseConfig } from "../../engine/config.ts";
import { EngineError } from "../../engine/errors.ts";
import { readHostMemory } from "../../engine/host-memory.ts";
import type { Progress } from "../../engine/progress.ts";

const limits: Limits = {
  sandboxes: 3,
  memoryMib: 1000,
  reserveMib: 100,
  overcommit: 4,
  perSandbox: { cpus: 2, memoryMib: 600 },
};

/** A host whose machines take 20 MiB beside their guests' memory, and own `owned.machinesMib`. */
function line(host = { availableMib: 10_000 }, own = limits) {
  const owned: { machinesMib: number | null; leftMib: number | null } = { machinesMib: 0, leftMib: null };
  const memory = {
    ...{ overheadMib: 20, helperMib: 64, use: () => owned },
    ...{ needsCopy: async () => false, dropCopies: () => 0, watchStalls: () => () => {} },
  };
  const admission = new Admission(own, memory, () => ({ totalMib: 20_000, ...host }));
  const ask = (
    id: string,
    memoryMib = 100,
    waitMs = 0,
    signal = new AbortController().signal,
    copyMib = 0,
  ) => {
    const said: string[] = [];
    const onProgress = ({ phase, state }: Progress) => said.push(`${phase} ${state}`);
    const done = admission.admit(
      { id, name: id, cpus: 1, memoryMib, copyMib },
      { waitMs, onProgress, signal },
    );
    done.catch(() => {});
    return { done, said };
  };
  /** Makes one that runs and owns `ownMib`. */
  const run = async (id: string, memoryMib = 100, ownMib = 0) => {
    await ask(id, memoryMib).done;
    owned.machinesMib = (owned.machinesMib ?? 0) + ownMib;
    host.availableMib -= ownMib;
    admission.started(id);
  };
  return { admission, ask, run, host, owned };
}

test("refused with the figures: sandboxes, memory taken, memory available, a sandbox's own limit", async () => {
  const { admission, ask, run, host } = line();
  await run("a", 500, 480);
  await expect(ask("b", 580).done).rejects.toThrow(
    "600 MiB needed, 510 MiB can be given out: 9520 MiB are available on the host, 100 are kept free, machines own 480 of 1000, 0 are for what is starting, 10 for machines to grow (overcommit 4)",
  );
  await run("b");
  await run("c");
  await expect(ask("d").done).rejects.toMatchObject({
    code: "no-capacity",
    message: expect.stringContaining("3 of 3 sandboxes"),
    hint: expect.stringContaining("--wait"),
  });
  admission.free("c");
  host.availableMib = 250;
  // 100 are kept free, 40 are a quarter of what a and b may still come to own
  await expect(ask("d").done).rejects.toThrow("120 MiB needed, 110 MiB can be given out");
  host.availableMib = 260;
  await ask("d").done;
  await expect(ask("e", 700).done).rejects.toThrow("600 MiB at most");
  admission.close();
});

test("what starts counts in full, with the copy of its snapshot; who asks meanwhile waits for it", async () => {
  const { admission, ask, host } = line({ availableMib: 500 });
  await ask("a", 100, 0, undefined, 100).done;
  expect(admission.claims).toMatchObject({ startingMib: 220, fullMib: 0 });
  // It would not fit beside a machine of that size that ran, so nothing is to be waited for.
  await expect(ask("b", 400).done).rejects.toThrow("420 MiB needed, 180 MiB can be given out");
  const next = ask("b", 200);
  expect(next.said).toEqual(["number 1 in line started"]);
  host.availableMib -= 10;
  admission.started("a");
  await next.done;
  expect(admission.claims).toMatchObject({ startingMib: 220, fullMib: 120 });
  admission.close();
});

test("under pressure nothing is let in, with the reason, or it waits until that is over", async () => {
  const { admission, ask } = line();
  await ask("a").done;
  admission.pressure = () => "memory pressure: 1 MiB are available";
  await expect(ask("b").done).rejects.toThrow("no room for sandbox b: memory pressure: 1 MiB are available");
  const waits = ask("c", 100, 60_000);
  expect(waits.said).toEqual(["number 1 in line started"]);
  admission.pressure = () => null;
  admission.started("a");
  await waits.done;
  admission.close();
});

test("overcommit 1 keeps all that machines may come to own", async () => {
  const { run, ask, admission } = line({ availableMib: 500 }, { ...limits, overcommit: 1 });
  await run("a", 200, 20);
  await expect(ask("b", 200).done).rejects.toThrow("220 MiB needed, 180 MiB can be given out");
  await run("b", 100, 0);
  await expect(ask("c", 50).done).rejects.toThrow("70 MiB needed, 60 MiB");
  admission.close();
});

test("a hundred idle sandboxes of 256 MiB live in 24 GiB by default", async () => {
  const totalMib = 24 * 1024;
  const { run, admission, ask } = line({ availableMib: totalMib - 1500 }, defaultLimits(totalMib));
  for (let index = 0; index < 100; index += 1) await run(`idle-${index}`, 256 + 428, 80);
  await ask("one-more", 256 + 428).done;
  admission.close();
});

test("where nothing counts what machines own, all that is taken of the host may be theirs; a limit from outside holds", async () => {
  const { run, owned, admission, host } = line();
  await run("a", 300);
  owned.machinesMib = null;
  host.availableMib = 19_900;
  expect(admission.claims).toMatchObject({ ownedMib: 100, fullMib: 320 });
  Object.assign(owned, { machinesMib: 150, leftMib: 250 });
  expect(admission.claims.availableMib).toBe(250);
  admission.close();
});

test("a live freeze's second process counts as memory, not as a sandbox; a helper counts and is not refused", async () => {
  const { admission, run, host } = line({ availableMib: 1000 });
  for (const id of ["a", "b", "c"]) await run(id, 180);
  const second = { name: "a", memoryMib: 300 };
  await admission.withSecond(second, async () => {
    expect(admission.claims.helpersMib).toBe(320);
    await expect(admission.withSecond({ name: "b", memoryMib: 450 }, async () => {})).rejects.toThrow(
      "no room for the freeze of b: 470 MiB needed, 430 MiB can be given out",
    );
  });
  expect(admission.claims.helpersMib).toBe(0);
  host.availableMib = 250;
  await expect(admission.withSecond(second, async () => {})).rejects.toMatchObject({ code: "no-capacity" });
  expect(await admission.withHelper(async () => admission.claims.helpersMib)).toBe(64);
  admission.close();
});

test("one that was frozen is among the sandboxes already; it asks for its memory again", async () => {
  const { admission, ask, run } = line({ availableMib: 1100 });
  for (const id of ["a", "b", "c"]) await run(id, 300);
  admission.ended("a");
  expect(admission.claims.fullMib).toBe(640);
  await expect(ask("d", 100).done).rejects.toThrow("3 of 3 sandboxes");
  await run("a", 300);
  admission.ended("a");
  admission.adopt("b", 600);
  admission.adopt("c", 600);
  await expect(ask("a", 600).done).resolves.toBeUndefined();
  admission.close();
});

test("those who wait are let in in order, and hear their place", async () => {
  const { admission, ask } = line();
  for (const id of ["a", "b", "c"]) await ask(id).done;
  const first = ask("d", 100, 60_000);
  const second = ask("e", 100, 60_000);
  // nobody overtakes
  admission.ended("a");
  await expect(ask("f").done).rejects.toThrow("2 sandboxes wait in line before it");
  expect(first.said).toEqual(["number 1 in line started"]);
  expect(second.said).toEqual(["number 2 in line started"]);
  admission.free("a");
  await first.done;
  expect(second.said).toEqual(["number 2 in line started", "number 1 in line started"]);
  admission.free("b");
  await second.done;
  expect(second.said.at(-1)).toBe("in line done");
  expect(admission.figures).toEqual({ sandboxes: 3, waiting: 0 });
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
  expect(defaultLimits(24_000)).toMatchObject({
    ...{ sandboxes: 375, memoryMib: 24_000, reserveMib: 1200, overcommit: 8 },
  });
  expect(defaultLimits(400).sandboxes).toBe(8);
});

test("a configuration, read", () => {
  const text = `
defaults: { idle: 15m, ttl: 1d12h, stopAfter: never }
limits:
  sandboxes: 20
  memory: 24G
  overcommit: 2.5
  sandbox: { ttl: 2d }
runner: { slow: 2.5, kvmCpus: [EPYC-Milan, qemu64-v1], mitigations: false }
pool: { base: 2, node:1: { size: 1, memory: 1G } }
stores: [oci:registry.example/failures, dir:/srv/failures]`;
  expect(parseConfig(text)).toEqual({
    defaults: { idle: 900_000, ttl: 129_600_000, stopAfter: null },
    limits: { sandboxes: 20, memory: 24_576, overcommit: 2.5, sandbox: { ttl: 172_800_000 } },
    caches: { maxAge: 604_800_000, maxBytes: 10_240, maxCount: 500 },
    steps: { maxAge: 2_592_000_000, maxBytes: 10_240 },
    telemetry: {},
    pool: { base: { size: 2 }, "node:1": { size: 1, memory: 1024 } },
    captures: { perRepository: {} },
    metrics: {},
    runner: { slow: 2.5, kvmCpus: ["EPYC-Milan", "qemu64-v1"], mitigations: false },
    network: { defaults: {}, dns: [] },
    preview: { hosts: [] },
    stores: ["oci:registry.example/failures", "dir:/srv/failures"],
  });
  expect(parseConfig("")).toEqual({
    defaults: {},
    limits: { sandbox: {} },
    caches: { maxAge: 604_800_000, maxBytes: 10_240, maxCount: 500 },
    steps: { maxAge: 2_592_000_000, maxBytes: 10_240 },
    telemetry: {},
    pool: {},
    captures: { perRepository: {} },
    metrics: {},
    runner: {},
    network: { defaults: {}, dns: [] },
    preview: { hosts: [] },
    stores: [],
  });
});

test.each(["oci:registry.example", "oci:registry.example/a:tag", "dir:relative", "./a", "https://a/b"])(
  "%s is no store of a host",
  (store) => expect(() => parseConfig(JSON.stringify({ stores: [store] }))).toThrow("1 mistake"),
);

test("every mistake of a configuration at once", () => {
  const text =
    "defaults: { idle: soon, tll: 1h }\nlimits: { sandboxes: 0, memory: much, overcommit: 0.5, sandbox: { cpus: 1.5 } }\nx: 1";
  try {
    parseConfig(text, "/h/config.yaml");
    expect.unreachable();
  } catch (error) {
    expect(error).toMatchObject({ code: "usage", message: "/h/config.yaml has 7 mistakes" });
    const places = (error as EngineError).details?.map((one) => one.split(": ", 2));
    expect(places).toEqual([
      ["/h/config.yaml:1:13", "defaults.idle"],
      ["/h/config.yaml:1:25", "defaults.tll"],
      ["/h/config.yaml:2:11", "limits.sandboxes"],
      ["/h/config.yaml:2:25", "limits.memory"],
      ["/h/config.yaml:2:39", "limits.overcommit"],
      ["/h/config.yaml:2:67", "limits.sandbox.cpus"],
      ["/h/config.yaml:3:1", "x"],
    ]);
  }
  expect(() => parseConfig("a: [1")).toThrow("mistake");
  const wrong = "runner: { slow: 0, kvmCpus: [host, 'a,+b', max], mitigation: false }";
  const mistakes = (() => {
    try {
      return parseConfig(wrong);
    } catch (error) {
      return (error as EngineError).details;
    }
  })();
  expect(mistakes).toMatchObject([
    expect.stringMatching(/^config\.yaml:1:11: runner\.slow: /),
    expect.stringMatching(/^config\.yaml:1:30: runner\.kvmCpus\.0: a named CPU model/),
    expect.stringMatching(/^config\.yaml:1:36: runner\.kvmCpus\.1: the name of a CPU model/),
    expect.stringMatching(/^config\.yaml:1:44: runner\.kvmCpus\.2: a named CPU model/),
    expect.stringMatching(/^config\.yaml:1:50: runner\.mitigation: there is no such key/),
  ]);
});

test("a configuration with mistakes: the last limits go on, nothing is made, and it is read again when it changes", () => {
  const dir = mkdtempSync(join(tmpdir(), "thaw-config-"));
  const path = join(dir, "config.yaml");
  try {
    const config = new HostConfig(path);
    const changes: (number | undefined)[] = [];
    config.listen(({ limits }) => changes.push(limits.sandboxes));
    expect(config.required().limits).toEqual({ sandbox: {} });
    writeFileSync(path, "limits: { sandboxes: 3 }\n");
    expect(config.required().limits.sandboxes).toBe(3);
    for (const spoil of [
      () => writeFileSync(path, "limits: { sandboxes: 4, memry: 1G }\n"),
      () => writeFileSync(path, "limits: [1\n"),
      () => {
        rmSync(path);
        mkdirSync(path);
      },
    ]) {
      spoil();
      expect(() => config.required()).toThrow(
        /^this host creates nothing until its configuration is corrected: .*config\.yaml/,
      );
      expect(config.value.limits.sandboxes).toBe(3);
      expect(configProbes(config)).toMatchObject([{ state: "missing", fatal: true }]);
      // Another daemon has no earlier limits.
      expect(new HostConfig(path).fault).not.toBeNull();
    }
    rmSync(path, { recursive: true });
    expect(config.required().limits.sandboxes).toBeUndefined();
    expect([changes, configProbes(config)]).toEqual([[3, undefined], []]);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
