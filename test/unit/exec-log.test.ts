import { appendFile, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Exec } from "../../engine/execs/exec.ts";
import { type Followed, followExec } from "../../engine/execs/follow.ts";
import { ExecLog, type LogPiece } from "../../engine/execs/log.ts";
import { type Reader, Subscriber } from "../../engine/execs/subscriber.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "thaw-log-"));
});
afterEach(() => rm(dir, { recursive: true }));

const append = (log: ExecLog, channel: 1 | 2, text: string) =>
  new Promise<void>((done) => log.append(channel, Buffer.from(text), done));

async function textOf(log: ExecLog, from: { 1: number; 2: number }): Promise<string> {
  let text = "";
  for await (const piece of log.read(from)) text += `${piece.channel}@${piece.offset}:${piece.data} `;
  return text;
}

test("pieces come back in order, from any offset on", async () => {
  const log = await ExecLog.open(dir);
  await append(log, 1, "hello ");
  await append(log, 2, "oops");
  await append(log, 1, "world");
  expect(await textOf(log, { 1: 0, 2: 0 })).toBe("1@0:hello  2@0:oops 1@6:world ");
  expect(await textOf(log, { 1: 3, 2: 4 })).toBe("1@3:lo  1@6:world ");
  await log.close();
});

test("another process goes on where the first one stopped, and cuts off a half-written record", async () => {
  const first = await ExecLog.open(dir);
  await append(first, 1, "kept");
  await first.close();
  const [segment = ""] = await readdir(dir);
  await appendFile(join(dir, segment), Buffer.from([1, 0, 0, 0, 200, 0, 0, 0, 1, 2, 3]));
  const second = await ExecLog.open(dir);
  expect([second.out, second.err]).toEqual([4, 0]);
  await append(second, 1, "+more");
  expect(await textOf(second, { 1: 0, 2: 0 })).toBe("1@0:kept 1@4:+more ");
  await second.close();
});

test("processes that come and go lose nothing of it: segments are counted by their size", async () => {
  for (let process = 0; process < 10; process++) {
    const log = await ExecLog.open(dir, { segmentBytes: 1000, keep: 1 });
    await append(log, 1, String(process));
    await log.close();
  }
  const log = await ExecLog.open(dir);
  expect(await textOf(log, { 1: 0, 2: 0 })).toBe(
    Array.from({ length: 10 }, (_, process) => `1@${process}:${process} `).join(""),
  );
});

test("old segments go; what is left says from which offset", async () => {
  const log = await ExecLog.open(dir, { segmentBytes: 1000, keep: 1 });
  for (let i = 0; i < 50; i++) await append(log, 1, `${i}`.padStart(100, "."));
  expect((await readdir(dir)).length).toBeLessThanOrEqual(2);
  const pieces: LogPiece[] = [];
  for await (const piece of log.read({ 1: 0, 2: 0 })) pieces.push(piece);
  expect(pieces[0]?.offset).toBeGreaterThan(0);
  expect(pieces.at(-1)?.offset).toBe(4900);
  await log.close();
});

test("who reads while segments go gets what is kept, in order, and no error", async () => {
  const log = await ExecLog.open(dir, { segmentBytes: 100, keep: 1 });
  let isWriting = true;
  const write = async (): Promise<void> => {
    for (let i = 0; i < 1000; i++) await append(log, 1, "x".repeat(100));
    isWriting = false;
  };
  const read = async (): Promise<void> => {
    while (isWriting) {
      let end = 0;
      for await (const { offset, data } of log.read({ 1: 0, 2: 0 })) {
        expect(offset).toBeGreaterThanOrEqual(end);
        end = offset + data.length;
      }
    }
  };
  await Promise.all([write(), read(), read(), read()]);
  await log.close();
});

test("a subscriber gets everything once, whenever it comes", async () => {
  const log = await ExecLog.open(dir);
  let expected = "";
  const readers: { text: string }[] = [];
  const subscribers: Subscriber[] = [];
  for (let i = 0; i < 200; i++) {
    const piece = log.append(1, Buffer.from(`${i},`), () => {});
    expected += `${i},`;
    for (const subscriber of subscribers) subscriber.take(piece);
    if (i % 40 === 0) {
      const seen = { text: "" };
      const reader: Reader = {
        output: ({ data }) => {
          seen.text += data;
        },
        dropped: () => {},
        lag: () => 0,
        room: async () => {},
      };
      const subscriber = new Subscriber(log, reader, { out: 0, err: 0 });
      subscribers.push(subscriber);
      readers.push(seen);
      void subscriber.catchUp();
    }
    if (i % 7 === 0) await new Promise(setImmediate);
  }
  await log.flush();
  await Promise.all(subscribers.map((subscriber) => subscriber.catchUp()));
  for (const { text } of readers) expect(text).toBe(expected);
  await log.close();
});

test("who has more than the log, which a killed daemon had not written yet, gets none of it again", async () => {
  const log = await ExecLog.open(dir);
  await append(log, 1, "on");
  let seen = "once";
  const reader: Reader = {
    output: ({ data }) => {
      seen += data;
    },
    dropped: () => {},
    lag: () => 0,
    room: async () => {},
  };
  const subscriber = new Subscriber(log, reader, { out: seen.length, err: 0 });
  await subscriber.catchUp();
  for (const told of ["ce", "", "\nmore", "\n"]) subscriber.take(log.append(1, Buffer.from(told), () => {}));
  expect(seen).toBe("once\nmore\n");
  await log.close();
});

/** What a reader of this log is sent, as of an exec that runs. */
function read(log: ExecLog): AsyncGenerator<Followed, void> {
  const subscribe = (reader: Reader, from: { out: number; err: number }) => {
    const subscriber = new Subscriber(log, reader, from);
    return { ready: subscriber.catchUp(), stop: () => subscriber.stop() };
  };
  const exec = { log, subscribe } as unknown as Exec;
  const { signal } = new AbortController();
  return followExec(exec, { from: { out: 0, err: 0 }, follow: false, signal });
}

test("who does not follow gets what was there, though the command floods", async () => {
  const log = await ExecLog.open(dir);
  const flood = () => append(log, 1, "x\n".repeat(1000));
  for (let i = 0; i < 10; i++) await flood();
  const end = log.out;
  const reading = read(log);
  let bytes = 0;
  for (let next = await reading.next(); !next.done; next = await reading.next()) {
    if ("data" in next.value) bytes += next.value.data.length;
    for (let i = 0; i < 10; i++) await flood();
  }
  expect(bytes).toBe(end);
  await log.close();
});

test("after what is no longer kept output goes on with a whole line", async () => {
  const log = await ExecLog.open(dir, { segmentBytes: 1000, keep: 1 });
  const text = Array.from({ length: 500 }, (_, i) => `${String(i).padStart(9, "0")}\n`).join("");
  for (let at = 0; at < text.length; at += 7) await append(log, 1, text.slice(at, at + 7));
  const items: Followed[] = [];
  for await (const item of read(log)) items.push(item);
  const [gap, ...rest] = items;
  if (gap === undefined || "data" in gap) throw new Error("nothing was dropped");
  expect(gap.droppedUntil % 10).toBe(0);
  expect(gap.droppedUntil).toBeGreaterThan(0);
  expect(rest.map((item) => ("data" in item ? item.data.toString() : "?")).join("")).toBe(
    text.slice(gap.droppedUntil),
  );
  await log.close();
});

/** A reader that notes what it is sent, in words. */
function noting(): { reader: Reader; seen: string[] } {
  const seen: string[] = [];
  const reader: Reader = {
    output: ({ channel, data }) => void seen.push(`${channel}:${data}`),
    dropped: (channel, offset) => void seen.push(`${channel} lost until ${offset}`),
    lag: () => 0,
    room: async () => {},
  };
  return { reader, seen };
}

test("a channel of which nothing is kept any more is told to have lost it, and holds no reader up", async () => {
  const log = await ExecLog.open(dir, { segmentBytes: 1000, keep: 1 });
  await append(log, 2, "early");
  for (let i = 0; i < 50; i++) await append(log, 1, "x".repeat(100));
  const { reader, seen } = noting();
  await new Subscriber(log, reader, { out: 0, err: 0 }).catchUp();
  expect(seen[0]).toMatch(/^1 lost until \d+$/);
  expect(seen[1]).toBe("2 lost until 5");
  await log.close();
});

test("output that a full disk refuses is not acknowledged, is read all the same, and is written when there is room", async () => {
  const log = await ExecLog.open(dir);
  await append(log, 1, "kept ");
  await log.close();
  const full = await ExecLog.open(dir, { segmentBytes: 1, keep: 1 });
  await symlink("/dev/full", join(dir, "1.log"));
  let isDone = false;
  full.append(1, Buffer.from("late"), () => {
    isDone = true;
  });
  expect(await full.flush()).toBe(false);
  const texts: string[] = [];
  for await (const { data } of full.readAll({ 1: 0, 2: 0 })) texts.push(data.toString());
  const { reader, seen } = noting();
  await new Subscriber(full, reader, { out: 0, err: 0 }).catchUp();
  expect([isDone, texts, seen]).toEqual([false, ["kept ", "late"], ["1:kept ", "1:late"]]);
  // A daemon that is killed now: the next one asks for what is not on the disk.
  expect(full.written).toEqual({ 1: 5, 2: 0 });
  await rm(join(dir, "1.log"));
  await append(full, 2, "more");
  expect([isDone, await full.flush()]).toEqual([true, true]);
  expect(await textOf(full, { 1: 0, 2: 0 })).toBe("1@0:kept  1@5:late 2@0:more ");
  await full.close();
});

test("what the guest no longer had is said to every reader, also by the next process", async () => {
  const log = await ExecLog.open(dir);
  await append(log, 1, "one ");
  expect(log.skipTo({ out: 10, err: 0 }).map(({ channel, offset }) => [channel, offset])).toEqual([[1, 10]]);
  await append(log, 1, "two");
  await log.close();
  const next = await ExecLog.open(dir);
  expect([next.out, next.err]).toEqual([13, 0]);
  const { reader, seen } = noting();
  await new Subscriber(next, reader, { out: 0, err: 0 }).catchUp();
  expect(seen).toEqual(["1:one ", "1 lost until 10", "1:two"]);
  expect(next.skipTo({ out: 13, err: 7 }).length).toBe(1);
  await next.close();
  const last = await ExecLog.open(dir);
  expect([last.out, last.err]).toEqual([13, 7]);
  await last.close();
});
