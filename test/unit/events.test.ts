import { appendFileSync, existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { followEvents, parseEvents } from "../../client/events.ts";
import { EventLog } from "../../engine/events/log.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "thaw-events-"));
  path = join(folder, "events.jsonl");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const happening = (name: string) => ({
  ...{ type: "sandbox.running" as const, target: "s1", name, sandbox: "s1" },
  details: {},
});

test("ids rise over restarts; what was written is replayed", () => {
  const first = EventLog.open(path);
  for (let i = 0; i < 5; i++) first.append(happening(`n${i}`));
  // nothing is closed: a daemon that is killed has no time for it
  const second = EventLog.open(path);
  expect(second.lastId).toBe(5);
  expect(second.append(happening("later")).id).toBe(6);
  expect(second.after(3).map(({ id, name }) => `${id} ${name}`)).toEqual(["4 n3", "5 n4", "6 later"]);
  expect(second.after(6)).toEqual([]);
  expect(second.after(0, 2).map(({ id }) => id)).toEqual([1, 2]);
});

test("a half-written last line is cut off, a spoilt one is passed over", () => {
  EventLog.open(path).append(happening("whole"));
  appendFileSync(path, 'not json\n{"id":99,"ti');
  const log = EventLog.open(path);
  expect(log.lastId).toBe(1);
  log.append(happening("next"));
  expect(
    EventLog.open(path)
      .after(0)
      .map(({ name }) => name),
  ).toEqual(["whole", "next"]);
});

test("the file is bounded, and so is what can be replayed", () => {
  const limits = { events: 50, fileBytes: 4000 };
  const log = EventLog.open(path, limits);
  for (let i = 0; i < 500; i++) log.append(happening("x".repeat(20)));
  expect(statSync(path).size).toBeLessThanOrEqual(4000);
  expect(existsSync(join(folder, "events.1.jsonl"))).toBe(true);
  expect(log.after(0).length).toBeLessThanOrEqual(55);
  expect(log.oldestId).toBeGreaterThan(400);
  const again = EventLog.open(path, limits);
  expect(again.lastId).toBe(500);
  expect(again.after(490).map(({ id }) => id)).toEqual([491, 492, 493, 494, 495, 496, 497, 498, 499, 500]);
});

test("what earlier daemons wrote is there also when it is asked for late; what was rotated away is known to be gone", () => {
  const limits = { events: 50, fileBytes: 4000 };
  const first = EventLog.open(path, limits);
  for (let i = 0; i < 10; i++) first.append(happening(`n${i}`));
  const second = EventLog.open(path, limits);
  for (let i = 0; i < 5; i++) second.append(happening("own"));
  expect(second.hasForgotten(10)).toBe(false);
  expect(second.hasForgotten(0)).toBe(false);
  expect(second.after(7).map(({ id }) => id)).toEqual([8, 9, 10, 11, 12, 13, 14, 15]);
  const third = EventLog.open(path, limits);
  for (let i = 0; i < 200; i++) third.append(happening("x".repeat(20)));
  expect(third.hasForgotten(14)).toBe(true);
  expect(third.hasForgotten(third.lastId)).toBe(false);
  expect(third.after(0)[0]?.id).toBe(third.oldestId);
});

test("a disk that refuses does not stop events", () => {
  const log = EventLog.open(join(folder, "no-such-folder", "events.jsonl"));
  expect(log.append(happening("a")).id).toBe(1);
  expect(log.failure).not.toBeNull();
  expect(log.after(0)).toHaveLength(1);
});

async function* chunks(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

test("a stream of events is parsed however it is cut", async () => {
  const text = 'id: 7\n\n: ping\n\nid: 8\nevent: sandbox.running\ndata: {"a":"é"}\n\nid: 9\nevent: x';
  const bytes = Buffer.from(text);
  for (let cut = 1; cut < bytes.length; cut++) {
    const parts = (async function* () {
      yield bytes.subarray(0, cut);
      yield bytes.subarray(cut);
    })();
    const sent = [];
    for await (const one of parseEvents(parts)) sent.push(one);
    expect(sent.filter(({ data }) => data !== "")).toEqual([
      { id: 8, type: "sandbox.running", data: '{"a":"é"}' },
    ]);
    expect(sent[0]?.id).toBe(7);
  }
});

test("a daemon that has no events, and says that it is there, is alive", async () => {
  let alive = 0;
  const open = async () => chunks("id: 41\n\n", ": ping\n\n", ": ping\n\n");
  const events = followEvents(open, { follow: false, onAlive: () => (alive += 1) });
  expect((await events.next()).done).toBe(true);
  expect(alive).toBe(3);
});

test("an event without an end is not read for ever", async () => {
  const endless = (async function* () {
    for (const text of ["id: 1\n\ndata: ", ...Array(20).fill("x".repeat(1 << 16))]) yield Buffer.from(text);
  })();
  const ids: (number | undefined)[] = [];
  await expect(
    (async () => {
      for await (const { id } of parseEvents(endless)) ids.push(id);
    })(),
  ).rejects.toThrow("longer than 1048576 bytes");
  expect(ids).toEqual([1]);
});

test("a connection that breaks is made again from the last id on", async () => {
  const asked: string[] = [];
  const streams = [
    chunks("id: 41\n\n"),
    chunks('id: 42\nevent: a\ndata: {"id":42}\n\n', "id: 43\nevent: a\nda"),
    chunks('id: 43\nevent: a\ndata: {"id":43}\n\n'),
  ];
  const got: number[] = [];
  const open = (path: string) => {
    asked.push(path);
    const stream = streams.shift();
    return stream ? Promise.resolve(stream) : Promise.reject(new Error("over"));
  };
  await expect(
    (async () => {
      for await (const { id } of followEvents(open, {})) got.push(id);
    })(),
  ).rejects.toThrow("over");
  expect(got).toEqual([42, 43]);
  expect(asked.slice(0, 4)).toEqual([
    "/v1/events?follow=1",
    "/v1/events?follow=1&since=41",
    "/v1/events?follow=1&since=42",
    "/v1/events?follow=1&since=43",
  ]);
});
