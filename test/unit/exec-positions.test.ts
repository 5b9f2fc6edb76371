import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ExecLog } from "../../engine/execs/log.ts";
import { positionOf, scrollbackOf } from "../../engine/execs/positions.ts";

let dir: string;
let log: ExecLog;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "thaw-positions-"));
  log = await ExecLog.open(dir, { segmentBytes: 1000, keep: 1 });
});
afterEach(async () => {
  await log.close();
  await rm(dir, { recursive: true });
});

const append = (channel: 1 | 2, text: string) =>
  new Promise<void>((done) => log.append(channel, Buffer.from(text), done));

test("the last lines, both channels counted together, where each began", async () => {
  await append(1, "a\nb");
  await append(2, "E1\n");
  await append(1, "b\nc\n");
  await append(2, "E2\n");
  expect(await positionOf(log, {})).toEqual({ out: 0, err: 0 });
  expect(await positionOf(log, { tail: 0 })).toEqual({ out: 7, err: 6 });
  expect(await positionOf(log, { tail: 1 })).toEqual({ out: 7, err: 3 });
  expect(await positionOf(log, { tail: 2 })).toEqual({ out: 5, err: 3 });
  expect(await positionOf(log, { tail: 3 })).toEqual({ out: 5, err: 0 });
  expect(await positionOf(log, { tail: 4 })).toEqual({ out: 2, err: 0 });
  expect(await positionOf(log, { tail: 100 })).toEqual({ out: 0, err: 0 });
});

test("the last lines before an end, which may be in the middle of a piece", async () => {
  await append(1, "1\n2\n3\n4\n");
  expect(await positionOf(log, { tail: 1, end: { out: 4, err: 0 } })).toEqual({ out: 2, err: 0 });
  expect(await positionOf(log, { tail: 9, end: { out: 4, err: 0 } })).toEqual({ out: 0, err: 0 });
  expect(await positionOf(log, { tail: 9, end: { out: 0, err: 0 } })).toEqual({ out: 0, err: 0 });
});

test("what was written since a time", async () => {
  await append(1, "old\n");
  await new Promise((resolve) => setTimeout(resolve, 20));
  const sinceMs = Date.now();
  await append(1, "new\n");
  expect(await positionOf(log, { sinceMs })).toEqual({ out: 4, err: 0 });
  expect(await positionOf(log, { sinceMs, tail: 5 })).toEqual({ out: 4, err: 0 });
  expect(await positionOf(log, { sinceMs: sinceMs + 60_000 })).toEqual({ out: 8, err: 0 });
});

test("many lines in one tail stay few in memory", async () => {
  for (let i = 0; i < 40; i++) await append(1, "x\n".repeat(100));
  expect(await positionOf(log, { tail: 10 })).toEqual({ out: 7980, err: 0 });
});

test("scrollback begins at a line, or at the very start", async () => {
  await append(1, "first line\nsecond line\nthird");
  expect(await scrollbackOf(log, 1000)).toEqual({ out: 0, err: 0 });
  expect(await scrollbackOf(log, 20)).toEqual({ out: 11, err: 0 });
  expect(await scrollbackOf(log, 12)).toEqual({ out: 23, err: 0 });
  // no line begins in so little: from the byte
  expect(await scrollbackOf(log, 3)).toEqual({ out: 25, err: 0 });
  expect(await scrollbackOf(log, 0)).toEqual({ out: 28, err: 0 });
});

test("scrollback of a log whose beginning is gone starts at a line that is kept", async () => {
  for (let i = 0; i < 60; i++) await append(1, `${i}`.padStart(99, ".").concat("\n"));
  const { out } = await scrollbackOf(log, 1 << 20);
  expect(out).toBeGreaterThan(0);
  expect(out % 100).toBe(0);
});

test("a command that writes without a pause does not hold up who asks for its last lines", async () => {
  let isAsking = true;
  // each piece that is written brings the next: the log is never idle
  const write = (): void => {
    log.append(1, Buffer.from("y\n".repeat(100)), () => isAsking && write());
  };
  for (let at = 0; at < 8; at += 1) write();
  const { out } = await positionOf(log, { tail: 1 });
  expect(out).toBeGreaterThan(0);
  isAsking = false;
});
