/**
 * Every step of a cut fails once. Afterwards the machine runs and writes, nothing half made is left, and it can be cut again. On real
 * machines: QEMU itself refuses, a relay before its control socket changes single answers, helpers and processes die.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openHome } from "../../../engine/home.ts";
import { SnapshotStore } from "../../../engine/snapshots/store.ts";
import type { Agent } from "../../../runners/agent/agent.ts";
import { createQemuRunner } from "../../../runners/qemu/runner.ts";
import type { Difference, Machine, Runner, SnapshotFiles } from "../../../runners/runner.ts";
import { type Fault, QmpRelay } from "../../helpers/qmp-relay.ts";
import { testHome } from "../../helpers/test-home.ts";
import { thaw, until } from "../../helpers/thaw.ts";
import { COUNTER, greet, sh } from "../guest.ts";

const dir = mkdtempSync("/tmp/tc-");
const options = {
  home: testHome(),
  agentPath: resolve("dist/agent/thaw-agent"),
  sealPath: resolve("dist/agent/thaw-seal"),
  runtimeRoot: join(dir, "run"),
};
const migrating = { ...options, difference: "never" as const };

/** Ends at the step that is named beside it. */
const FAULTY_HELPER = `#!/bin/sh
read -r step < "$0.step"
[ "$step" = ready ] && exit 9
echo ready; read -r go
[ "$step" = copied ] && exit 9
echo copied 4096
exit 9
`;

let serial = 0;
const folder = (name: string): string => {
  const made = join(dir, `${name}-${++serial}`);
  mkdirSync(made, { mode: 0o711 });
  return made;
};
const missing = (await createQemuRunner(options).probe()).filter(
  ({ fatal, state }) => fatal && state === "missing",
);
const why = missing.map(({ name, detail }) => `${name}: ${detail}`).join("; ");
if (missing.length > 0 && process.env.REQUIRE_QEMU === "1") throw new Error(`qemu can't run here: ${why}`);

describe.skipIf(missing.length > 0)(`a cut that fails${why ? ` (${why})` : ""}`, () => {
  let snapshot: SnapshotFiles;
  let machine: Machine;
  let agent: Agent;
  let relay: QmpRelay;
  const others: Machine[] = [];

  const thawOne = async (runner: Runner, difference?: Difference): Promise<[Machine, Agent]> => {
    const stateDir = folder("machine");
    const id = `cut-${process.pid}-${serial}`;
    const thawed = await runner.thaw({ id, stateDir, snapshot, difference });
    others.push(thawed);
    return [thawed, await greet(thawed, "cut")];
  };
  /** Has another runner take the machine up, as the next daemon does. */
  const adopt = async (runner: Runner): Promise<void> => {
    agent?.close();
    await machine?.detach();
    machine = await runner.adopt(machine.record);
  };
  /** Runs, as far as the host and the guest can tell, and writes to a disk that is whole. */
  const isWell = async (): Promise<void> => {
    expect(await machine.state()).toBe("running");
    agent.close();
    agent = await greet(machine, "cut");
    const count = async (): Promise<number> => Number((await sh(agent, "cat /dev/shm/count")).text);
    const before = await count();
    await until(async () => (await count()) > before, "the counter to go on");
    const { text, exit } = await sh(agent, `echo ${++serial} >> /root/log && sync && tail -1 /root/log`);
    expect([text, exit.code]).toEqual([`${serial}\n`, 0]);
    const left = readdirSync(machine.record.stateDir, { recursive: true }).map(String);
    expect(left.filter((name) => /cut\.json|\.new$/.test(name))).toEqual([]);
  };
  /** One difference that works: a clone has all that was written. */
  const cutsAgain = async (): Promise<void> => {
    const taken = await machine.takeDifference(folder("taken"));
    const [clone, inside] = await thawOne(createQemuRunner(options), taken);
    expect((await sh(inside, "tail -1 /root/log")).text).toBe((await sh(agent, "tail -1 /root/log")).text);
    inside.close();
    await clone.stop();
    rmSync(taken.dir, { recursive: true });
  };
  /** The file system of its disk, as far as QEMU wrote it, holds together. */
  const overlaysAreWhole = (): void => {
    const disk = join(machine.record.stateDir, "disk");
    for (const name of readdirSync(disk).filter((one) => one.endsWith(".qcow2")))
      execFileSync("qemu-img", ["check", "-U", "-q", join(disk, name)]);
  };

  beforeAll(async () => {
    expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
    const store = new SnapshotStore(openHome(testHome()));
    snapshot = await store.checkForThaw(await store.get("base"));
    [machine, agent] = await thawOne(createQemuRunner(options));
    await sh(agent, COUNTER);
    agent.close();
    await machine.detach();
    relay = await QmpRelay.before(machine.record);
    await adopt(createQemuRunner(options));
    agent = await greet(machine, "cut");
  });
  afterAll(async () => {
    agent?.close();
    for (const one of others) await one.stop().catch(() => {});
    await machine?.stop();
    await relay?.[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true, force: true });
  });

  const steps: [string, string, Fault][] = [
    ["the next overlay can't be opened", "blockdev-add", "refused"],
    ["the machine is stopped but QEMU says that it is not", "stop", "answered-wrong"],
    ["QEMU refuses the cut", "blockdev-snapshot", "refused"],
    ["the disk is cut but QEMU says that it is not", "blockdev-snapshot", "answered-wrong"],
    ["QEMU does not answer whether the disk is cut", "blockdev-snapshot", "unanswered"],
    [
      "the device state can't be written",
      "xen-save-devices-state",
      { arguments: { filename: "/nowhere/x", live: false } },
    ],
    ["QEMU refuses to continue", "cont", "refused"],
  ];

  test("of a difference: QEMU fails at a step", async () => {
    for (const [what, command, fault] of steps) {
      const into = folder("failed");
      relay.failOnce(command, fault);
      const failed = machine.takeDifference(into).then(
        () => false,
        () => true,
      );
      // A `cont` that is refused is tried again, and then there is nothing to complain of.
      expect(await failed, what).toBe(command !== "cont");
      relay.onCommand = () => undefined;
      if (command !== "cont") expect(readdirSync(into), what).toEqual([]);
      await isWell();
    }
    overlaysAreWhole();
    await cutsAgain();
  });

  test("of a difference: the helper ends, the copy of the disk fails, the caller gives up", async () => {
    const pagesPath = join(folder("helper"), "pages");
    writeFileSync(pagesPath, FAULTY_HELPER, { mode: 0o755 });
    await adopt(createQemuRunner({ ...options, pagesPath }));
    for (const step of ["ready", "copied", "done"]) {
      writeFileSync(`${pagesPath}.step`, `${step}\n`);
      const into = folder("failed");
      await expect(machine.takeDifference(into), step).rejects.toThrow(/copying memory failed/);
      expect(readdirSync(into)).toEqual([]);
      await isWell();
    }
    await adopt(createQemuRunner(options));
    const layers = join(machine.record.stateDir, "layers");
    const top = Math.max(
      ...readdirSync(join(machine.record.stateDir, "disk")).map((name) => Number(/\d+/.exec(name))),
    );
    mkdirSync(join(layers, `own-${top}.qcow2.new`), { recursive: true });
    await expect(machine.takeDifference(folder("failed"))).rejects.toThrow(/own-/);
    rmSync(join(layers, `own-${top}.qcow2.new`), { recursive: true });
    await isWell();
    for (const command of ["blockdev-add", "stop", "xen-save-devices-state"]) {
      const given = new AbortController();
      relay.onCommand = (name) => {
        if (name === command) given.abort(new Error("given up"));
        return undefined;
      };
      await expect(machine.takeDifference(folder("failed"), { signal: given.signal })).rejects.toThrow(
        "given up",
      );
      relay.onCommand = () => undefined;
      await isWell();
    }
    overlaysAreWhole();
    await cutsAgain();
  });

  test("of a migration: QEMU fails at a step", async () => {
    await adopt(createQemuRunner(migrating));
    for (const [command, fault] of [
      ["migrate", "refused"],
      ["blockdev-snapshot", "answered-wrong"],
      ["migrate-continue", "refused"],
      ["cont", "refused"],
    ] as const) {
      relay.failOnce(command, fault);
      const draft = folder("freeze");
      mkdirSync(join(draft, "snapshot"));
      const place = { id: `cut-to-${process.pid}-${serial}`, stateDir: draft, dir: join(draft, "snapshot") };
      const failed = await machine.freezeLive(place).then(
        () => false,
        () => true,
      );
      expect(failed, command).toBe(command !== "cont");
      relay.onCommand = () => undefined;
      expect(existsSync(join(options.runtimeRoot, place.id))).toBe(false);
      await isWell();
    }
    overlaysAreWhole();
    await cutsAgain();
  });

  /** The other process is killed when it has sent, or got the answer to, a command. */
  const killAt = async (command: string, when: "sent" | "answered", spec: object): Promise<void> => {
    agent.close();
    await machine.detach();
    const argument = JSON.stringify({ record: machine.record, ...spec });
    const child: ChildProcess = spawn(process.execPath, ["test/conformance/qemu/cut-and-wait.ts", argument], {
      stdio: "ignore",
    });
    const gone = new Promise((done) => child.once("exit", done));
    const kill = (name: string): Fault => {
      if (name !== command) return undefined;
      child.kill("SIGKILL");
      return when === "sent" ? "refused" : undefined;
    };
    relay.onCommand = when === "sent" ? kill : () => undefined;
    if (when === "answered") relay.onAnswer = (name) => void kill(name);
    await gone;
    relay.onCommand = () => undefined;
    relay.onAnswer = () => {};
    expect(child.signalCode, `${command} was ${when}`).toBe("SIGKILL");
  };

  test("the process is killed at a step of a difference: the next one lets the machine go on", async () => {
    for (const [command, when] of [
      ["stop", "sent"],
      ["blockdev-snapshot", "sent"],
      ["blockdev-snapshot", "answered"],
      ["cont", "sent"],
    ] as const) {
      await killAt(command, when, { options, dir: folder("killed") });
      machine = await createQemuRunner(options).adopt(machine.record);
      await isWell();
    }
    overlaysAreWhole();
    await cutsAgain();
  });

  test("the process is killed while a paused machine is cut: it stays paused", async () => {
    await machine.pause();
    await killAt("xen-save-devices-state", "answered", { options, dir: folder("killed") });
    machine = await createQemuRunner(options).adopt(machine.record);
    expect(await machine.state()).toBe("paused");
    await machine.resume();
    await isWell();
    await cutsAgain();
  });

  test("the process is killed at a step of a migration: it is cancelled and the machine goes on", async () => {
    for (const command of ["migrate", "blockdev-snapshot", "migrate-continue"]) {
      const draft = folder("freeze");
      mkdirSync(join(draft, "snapshot"));
      const freeze = { id: `cut-to-${process.pid}-${serial}`, stateDir: draft, dir: join(draft, "snapshot") };
      await killAt(command, "answered", { options: migrating, freeze });
      machine = await createQemuRunner(options).adopt(machine.record);
      await isWell();
      await createQemuRunner(options).clear(freeze);
      expect(existsSync(join(options.runtimeRoot, freeze.id))).toBe(false);
    }
    overlaysAreWhole();
    await cutsAgain();
  });

  test("the process is killed while the chain is flattened: the next one cuts and flattens", async () => {
    // As deep as it may become, and deeper: this process can't flatten it.
    relay.onCommand = (name) => (name === "block-stream" ? "refused" : undefined);
    for (let round = 0; round < 9; round++) await machine.takeDifference(folder("taken"));
    await killAt("block-stream", "answered", { options, dir: folder("killed") });
    machine = await createQemuRunner(options).adopt(machine.record);
    await isWell();
    await cutsAgain();
    const overlays = (): number => readdirSync(join(machine.record.stateDir, "disk")).length;
    await until(() => Promise.resolve(overlays() <= 2), "the overlays that were flattened to go");
    overlaysAreWhole();
    await isWell();
    await cutsAgain();
  });

  test("while the chain is flattened the machine is paused, continued and cut at once; flattened it is later", async () => {
    let streams = 0;
    // It would take hours.
    relay.onCommand = (name) => {
      if (name !== "block-stream") return undefined;
      streams += 1;
      return { arguments: { speed: 1 } };
    };
    while (streams === 0) await machine.takeDifference(folder("taken"));
    await machine.pause();
    expect(await machine.state()).toBe("paused");
    await machine.resume();
    await isWell();
    await machine.takeDifference(folder("taken"));
    await until(async () => streams === 2, "it to be begun again");
    relay.onCommand = () => undefined;
    await cutsAgain();
    const overlays = (): number => readdirSync(join(machine.record.stateDir, "disk")).length;
    await until(async () => overlays() <= 2, "the overlays that were flattened to go");
    overlaysAreWhole();
    await isWell();
  });
});
