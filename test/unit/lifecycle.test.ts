import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { SandboxState } from "../../api/closed-lists.ts";
import { formatNext, formatUntil } from "../../api/next.ts";
import type { Clock } from "../../engine/lifecycle/clock.ts";
import { jumpBetween } from "../../engine/lifecycle/clock.ts";
import { Lifecycle, type Timed } from "../../engine/lifecycle/lifecycle.ts";
import { type Action, afterJump, idleAfter, newTimers, nextOf } from "../../engine/lifecycle/timers.ts";
import { noTimers, type Timers } from "../../engine/sandboxes/record.ts";

const START = Date.parse("2026-03-01T12:00:00Z");
const at = (ms: number): string => new Date(START + ms).toISOString();
const able = { pause: true, stop: true };
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** A clock that goes when it is told to. */
class HandClock implements Clock {
  wallMs = START;
  monotonicMs = 5_000;
  boot = "one";
  wall = (): number => this.wallMs;
  monotonic = (): number => this.monotonicMs;
  bootId = (): string => this.boot;
  pass(ms: number): void {
    this.wallMs += ms;
    this.monotonicMs += ms;
  }
  jump(ms: number): void {
    this.wallMs += ms;
  }
}

class Box implements Timed {
  readonly id: string;
  readonly record: { state: SandboxState; timers: Timers; name: string };
  used = false;
  cpuMs = 0;
  persisted = 0;
  constructor(id: string, timers: Timers, state: SandboxState = "running") {
    this.id = id;
    this.record = { state, timers, name: id };
  }
  takeUse(): boolean {
    const { used } = this;
    return used;
  }
  stats(): Promise<{ cpuMs: number }> {
    return Promise.resolve({ cpuMs: this.cpuMs });
  }
  persistSoon(): Promise<void> {
    this.persisted += 1;
    return Promise.resolve();
  }
}

let folder: string;
let clock: HandClock;
const open: Lifecycle<Box>[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "thaw-life-"));
  clock = new HandClock();
});
afterEach(() => {
  for (const lifecycle of open.splice(0)) lifecycle.close();
  rmSync(folder, { recursive: true, force: true });
});

function live(boxes: Box[]): { lifecycle: Lifecycle<Box>; acts: string[]; jumps: number[] } {
  const acts: string[] = [];
  const jumps: number[] = [];
  const act = (box: Box, action: Action): Promise<void> => {
    acts.push(`${action} ${box.id}`);
    box.record.state = action === "pause" ? "paused" : action === "stop" ? "stopped" : "removed";
    box.record.timers.stateSince = new Date(clock.wall()).toISOString();
    return Promise.resolve();
  };
  const lifecycle = new Lifecycle<Box>({
    ...{ clock, clockFile: join(folder, "clock.json"), sandboxes: () => boxes, act, able },
    onJump: (ms) => jumps.push(ms),
  });
  open.push(lifecycle);
  return { lifecycle, acts, jumps };
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const timers = (asked: Parameters<typeof newTimers>[0]): Timers => newTimers(asked, {}, START);

test("what a request says goes before the host's defaults; null is never", () => {
  const defaults = { ttlMs: HOUR, idleMs: MINUTE, removeAfterMs: 2 * HOUR };
  expect(newTimers({ idleMs: null, ttlMs: 5000 }, defaults, START)).toEqual({
    ...noTimers(),
    expiresAt: at(5000),
    removeAfterMs: 2 * HOUR,
    stateSince: at(0),
  });
});

test("next is the first thing that will happen", () => {
  const all = timers({ ttlMs: HOUR, idleMs: MINUTE, stopAfterMs: 2 * MINUTE, removeAfterMs: 2 * HOUR });
  expect(nextOf("running", all, able)).toEqual({ action: "remove", at: at(HOUR) });
  expect(nextOf("running", { ...all, idleSince: at(0) }, able)).toEqual({ action: "pause", at: at(MINUTE) });
  expect(nextOf("paused", all, able)).toEqual({ action: "stop", at: at(2 * MINUTE) });
  expect(nextOf("paused", all, { pause: true, stop: false })).toEqual({ action: "remove", at: at(HOUR) });
  expect(nextOf("failed", { ...all, expiresAt: null }, able)).toEqual({ action: "remove", at: at(2 * HOUR) });
  expect(nextOf("running", noTimers(), able)).toBeNull();
  expect(nextOf("removed", all, able)).toBeNull();
});

test("idle is no client and no CPU", () => {
  const idle = { idleSince: at(0), idleCpuMs: 100 };
  const before = { atMs: START + 9000, cpuMs: 130 };
  const sample = (cpuMs: number, used = false) => ({ nowMs: START + 10_000, cpuMs, used });
  expect(idleAfter(idle, before, sample(150))).toEqual(idle);
  expect(idleAfter(idle, before, sample(150, true)).idleSince).toBeNull();
  expect(idleAfter(idle, before, sample(330)).idleSince).toBeNull();
  expect(idleAfter({ idleSince: null, idleCpuMs: 0 }, before, sample(131))).toEqual({
    idleSince: at(10_000),
    idleCpuMs: 131,
  });
  // a daemon that comes back asks what was used since
  expect(idleAfter(idle, null, sample(200))).toEqual(idle);
  expect(idleAfter(idle, null, sample(9000)).idleSince).toBeNull();
});

test("an idle sandbox is paused, stopped and removed in turn; a busy one and a used one are not", async () => {
  const asked = { idleMs: 3 * MINUTE, stopAfterMs: 10 * MINUTE, removeAfterMs: HOUR };
  const [idle, busy, used] = [
    new Box("idle", timers(asked)),
    new Box("busy", timers(asked)),
    new Box("used", timers(asked)),
  ];
  used.used = true;
  const { lifecycle, acts } = live([idle, busy, used]);
  await lifecycle.start();
  expect(lifecycle.next(idle)).toEqual({ action: "pause", at: at(3 * MINUTE) });
  for (let second = 0; second < 200; second += 5) {
    clock.pass(5000);
    busy.cpuMs += 1000;
    idle.cpuMs += 50;
    await lifecycle.look();
    await settle();
  }
  expect(acts).toEqual(["pause idle"]);
  expect(lifecycle.next(busy)).toBeNull();
  clock.pass(10 * MINUTE);
  await lifecycle.look();
  await settle();
  expect(acts).toEqual(["pause idle", "stop idle"]);
  clock.pass(HOUR);
  await lifecycle.look();
  await settle();
  expect(acts).toContain("remove idle");
});

test("a clock that jumps an hour ahead pauses nothing and removes nothing at once", async () => {
  const boxes = Array.from(
    { length: 20 },
    (_, i) => new Box(`b${i}`, timers({ idleMs: 3 * MINUTE, ttlMs: 30 * MINUTE })),
  );
  const old = new Box("failed", timers({ removeAfterMs: 10 * MINUTE }), "failed");
  const { lifecycle, acts, jumps } = live([...boxes, old]);
  await lifecycle.start();
  clock.pass(MINUTE);
  await lifecycle.look();
  clock.jump(HOUR);
  await lifecycle.look();
  await settle();
  expect(acts).toEqual([]);
  expect(jumps).toEqual([HOUR]);
  // a minute of three was idle; its hard end is a time of day that is past: a minute to object
  expect(boxes[0]?.record.timers.idleSince).toBe(at(HOUR));
  expect(boxes[0]?.record.timers.expiresAt).toBe(at(HOUR + 2 * MINUTE));
  clock.pass(MINUTE - 1000);
  await lifecycle.look();
  await settle();
  expect(acts).toEqual([]);
  clock.pass(2000);
  await lifecycle.look();
  for (let i = 0; i < 20; i++) await settle();
  expect(acts.filter((one) => one.startsWith("remove b"))).toHaveLength(20);
  expect(old.record.state).toBe("failed");
});

test("a clock that goes back does not prolong idle times", () => {
  const idle = { ...timers({ idleMs: MINUTE, ttlMs: HOUR }), idleSince: at(0) };
  const after = afterJump(idle, -HOUR, START - HOUR + 30_000);
  expect(after.idleSince).toBe(at(-HOUR));
  expect(after.expiresAt).toBe(at(HOUR));
});

test("a jump while no daemon ran is noticed; another start of the host is no jump", async () => {
  const box = new Box("b", { ...timers({ idleMs: 10 * MINUTE }), idleSince: at(0) });
  const first = live([box]);
  await first.lifecycle.start();
  first.lifecycle.close();
  clock.pass(MINUTE);
  clock.jump(2 * HOUR);
  const second = live([box]);
  await second.lifecycle.start();
  expect(second.jumps).toEqual([2 * HOUR]);
  expect(box.record.timers.idleSince).toBe(at(2 * HOUR));
  second.lifecycle.close();
  clock.boot = "two";
  clock.monotonicMs = 10;
  clock.jump(HOUR);
  const third = live([box]);
  await third.lifecycle.start();
  expect(third.jumps).toEqual([]);
  expect(jumpBetween({ wall: 0, monotonic: 0, boot: "x" }, { wall: 1500, monotonic: 0, boot: "x" })).toBe(0);
});

test("a reading of the clocks that is spoilt is no reading", async () => {
  writeFileSync(join(folder, "clock.json"), "{half");
  const { lifecycle, jumps } = live([]);
  await lifecycle.start();
  expect(jumps).toEqual([]);
  expect(JSON.parse(readFileSync(join(folder, "clock.json"), "utf8"))).toMatchObject({ boot: "one" });
});

test("an action that fails is tried again later, not at once", async () => {
  const box = new Box("b", timers({ ttlMs: MINUTE }));
  let tries = 0;
  const lifecycle = new Lifecycle<Box>({
    ...{ clock, clockFile: join(folder, "clock.json"), sandboxes: () => [box], able, onJump: () => {} },
    act: () => {
      tries += 1;
      return Promise.reject(new Error("not now"));
    },
  });
  open.push(lifecycle);
  await lifecycle.start();
  clock.pass(MINUTE);
  for (let i = 0; i < 5; i++) {
    await lifecycle.look();
    await settle();
  }
  expect(tries).toBe(1);
  clock.pass(11_000);
  await lifecycle.look();
  await settle();
  expect(tries).toBe(2);
});

test.each([
  [0, "now"],
  [20_000, "20s"],
  [180_000, "3m"],
  [560_000, "9m 20s"],
  [1_320_000, "22m"],
  [3_720_000, "1h 02m"],
  [273_600_000, "3d 4h"],
])("until %d ms: %s", (ms, text) => {
  expect(formatUntil(at(ms), START)).toBe(text);
});

test("what happens next, in words", () => {
  expect(formatNext({ action: "pause", at: at(180_000) }, START)).toBe("pause in 3m");
  expect(formatNext({ action: "remove", at: at(560_000) }, START)).toBe("ends in 9m 20s");
  expect(formatNext({ action: "remove", at: at(-1) }, START)).toBe("ends now");
  expect(formatNext(null, START)).toBe("");
});
