/** A difference of some hundred MiB: the helpers' memory is bounded, and a disk without room for it ends nothing but the attempt. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { openHome } from "../../../engine/home.ts";
import { SnapshotStore } from "../../../engine/snapshots/store.ts";
import type { Agent } from "../../../runners/agent/agent.ts";
import { createQemuRunner } from "../../../runners/qemu/runner.ts";
import type { Difference, Machine, SnapshotFiles } from "../../../runners/runner.ts";
import { testHome } from "../../helpers/test-home.ts";
import { thaw } from "../../helpers/thaw.ts";
import { greet, sh } from "../guest.ts";

const HELPER_BYTES = 64 * 1024 * 1024;
const dir = mkdtempSync("/tmp/tb-");
/** The helper with all the address space that it may use, code and stacks included. */
const bounded = (name: string): string => {
  const path = join(dir, name);
  const helper = resolve("dist/agent", name);
  writeFileSync(path, `#!/bin/sh\nexec /usr/bin/prlimit --as=${HELPER_BYTES} ${helper} "$@"\n`, {
    mode: 0o755,
  });
  return path;
};
// Looked for beside `thaw-seal`.
for (const name of ["thaw-keeper", "thaw-jail"]) symlinkSync(resolve("dist/agent", name), join(dir, name));
const runner = createQemuRunner({
  home: testHome(),
  agentPath: resolve("dist/agent/thaw-agent"),
  sealPath: bounded("thaw-seal"),
  pagesPath: bounded("thaw-pages"),
  runtimeRoot: join(dir, "run"),
});
const missing = (await runner.probe()).filter(({ fatal, state }) => fatal && state === "missing");
const why = missing.map(({ name, detail }) => `${name}: ${detail}`).join("; ");
if (missing.length > 0 && process.env.REQUIRE_QEMU === "1") throw new Error(`qemu can't run here: ${why}`);

/** Fills with what can't be left out, at the speed of a copy. */
const FILL =
  "mount -t tmpfs -o size=700m none /mnt && head -c 1M /dev/urandom > /mnt/a && for i in $(seq 16); do cat /mnt/a; done > /mnt/b && for i in $(seq 26); do cat /mnt/b; done > /mnt/x";
/** Where `/mnt/x` differs from what it was filled with, and whether it has there what was written. */
const LOOK =
  "for i in $(seq 26); do cat /mnt/b; done | cmp - /mnt/x; cmp -n 409600 -i 0:204800000 /mnt/c /mnt/x; cat /mnt/y";

describe.skipIf(missing.length > 0)(`a large difference${why ? ` (${why})` : ""}`, () => {
  let snapshot: SnapshotFiles;
  const machines: Machine[] = [];
  let serial = 0;

  const folder = (name: string): string => {
    const made = join(dir, `${name}-${++serial}`);
    mkdirSync(made, { mode: 0o711 });
    return made;
  };
  const thawOne = async (difference?: Difference): Promise<[Machine, Agent]> => {
    const stateDir = folder("machine");
    const machine = await runner.thaw({ id: `big-${process.pid}-${serial}`, stateDir, snapshot, difference });
    machines.push(machine);
    return [machine, await greet(machine, "big")];
  };

  beforeAll(async () => {
    expect((await thaw(["create", "--name", "large", "--memory", "768M"])).exitCode).toBe(0);
    expect((await thaw(["rm", "large"])).exitCode).toBe(0);
    const store = new SnapshotStore(openHome(testHome()));
    const found = await store.find(
      ({ resources, variantOf }) => resources.memoryMib === 768 && variantOf !== null,
    );
    if (!found) throw new Error("no snapshot of 768 MiB was made");
    snapshot = await store.checkForThaw(found);
  });
  afterEach(async () => {
    for (const machine of machines.splice(0)) await machine.stop();
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  test("is copied and thawed by helpers that have 64 MiB, also by a child of a child; a full disk ends only the attempt", async () => {
    const [source, agent] = await thawOne();
    await sh(
      agent,
      `${FILL}; dd if=/mnt/x of=/mnt/c bs=4k skip=50000 count=100 2> /dev/null; echo first > /mnt/y`,
    );
    const filled = "first\n";

    if (process.getuid?.() === 0) {
      const small = folder("small");
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=100m", "none", small]);
      try {
        await expect(source.takeDifference(small)).rejects.toMatchObject({ code: "no-space" });
        expect(readdirSync(small)).toEqual([]);
      } finally {
        execFileSync("umount", [small]);
      }
      expect(await source.state()).toBe("running");
    }

    const taken = await source.takeDifference(folder("taken"));
    process.stdout.write(`large: ${taken.copiedBytes >> 20} MiB, ${taken.pauseMs.toFixed(0)} ms\n`);
    expect(taken.copiedBytes).toBeGreaterThan(420 * 1024 * 1024);
    expect((await sh(agent, LOOK)).text).toBe(filled);
    agent.close();
    await source.stop();

    const [child, inside] = await thawOne(taken);
    expect((await sh(inside, LOOK)).text).toBe(filled);
    // Among what it inherited, and elsewhere.
    await sh(
      inside,
      "echo second > /mnt/y; head -c 409600 /dev/urandom > /mnt/c; dd if=/mnt/c of=/mnt/x bs=4k seek=50000 conv=notrunc",
    );
    const changed = (await sh(inside, LOOK)).text;
    expect(changed).toMatch(/^- \/mnt\/x differ: (byte|char) 20480\d+, line \d+\nsecond\n$/);
    const again = await child.takeDifference(folder("taken"));
    expect(again.copiedBytes).toBeLessThan(taken.copiedBytes / 2);
    inside.close();
    await child.stop();
    runner.forget(taken.id);
    const [, last] = await thawOne(again);
    expect((await sh(last, LOOK)).text).toBe(changed);
    last.close();
  });
});
