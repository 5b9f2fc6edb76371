/** The host's half of a session against streams that were right and then spoiled. Repeat a failure with its FUZZ_SEED. */
import { duplexPair, Readable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Agent } from "../../runners/agent/agent.ts";
import { duplexOf } from "../../runners/agent/duplex.ts";
import { AgentRefusal, SessionError } from "../../runners/agent/errors.ts";
import { encodeFrame, type FrameHeader, FrameReader } from "../../runners/agent/frame.ts";
import { FRAME, HEADER_BYTES, MAX_PAYLOAD_BYTES } from "../../runners/agent/protocol.ts";

const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
const iterations = Number(process.env.FUZZ_ITERATIONS ?? 2000);

interface Frame {
  type: number;
  channel: number;
  stream: number;
  payload: Buffer;
}

const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const offset = (value: bigint) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
};

/** Streams the host has open by then: 1 an exec, 3 a file being read, 5 a stat, 7 a listener, 9 an upload. */
const stream = fc.constantFrom(0, 1, 1, 3, 3, 5, 7, 9, 2, 4, 11, 0xffff_ffff);
const text = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.constantFrom("x".repeat(5000), "\0", "\u001b[2J", "__proto__"),
);
const count = fc.constantFrom(0, 1, -1, 0.5, 1e300, 2 ** 53, 65_536);
const payload = fc.oneof(
  fc
    .constantFrom(
      { ok: {} },
      { ok: { pid: 1, running: true, in: 0, out: 0, err: 0 } },
      { ok: { size: 9 } },
      { ok: { port: 80 } },
    )
    .map(json),
  fc
    .record({
      ok: fc.record({
        pid: count,
        in: count,
        out: count,
        err: count,
        size: count,
        port: count,
        entries: count,
        bytes: count,
      }),
    })
    .map(json),
  fc
    .record({ error: fc.record({ kind: fc.constantFrom("io", "not-found", "limit", "odd"), message: text }) })
    .map(json),
  fc
    .record({
      event: fc.constantFrom("exit", "oom", "log", "odd"),
      message: text,
      code: count,
      signal: fc.constant(null),
      oom: fc.boolean(),
      out: count,
      err: count,
      durationMs: count,
    })
    .map(json),
  fc.record({ op: fc.constantFrom("accepted", "start"), listener: count, peer: text }).map(json),
  fc.jsonValue({ maxDepth: 3 }).map(json),
  fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
  fc.constantFrom(offset(0n), offset(1n), offset(1n << 63n), Buffer.alloc(0)),
  fc.constant(Buffer.from("[".repeat(MAX_PAYLOAD_BYTES))),
  fc.constant(Buffer.alloc(MAX_PAYLOAD_BYTES, 0x5a)),
);
const frame: fc.Arbitrary<Frame> = fc.record({
  type: fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom(...Object.values(FRAME)) },
    { weight: 1, arbitrary: fc.nat(255) },
  ),
  channel: fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom(1, 1, 2, 0) },
    { weight: 1, arbitrary: fc.nat(255) },
  ),
  stream,
  payload,
});
/** What a decent guest would say to those requests, so that what follows meets open streams. */
const decent: Frame[] = [
  {
    type: FRAME.RESPONSE,
    channel: 0,
    stream: 1,
    payload: json({ ok: { pid: 1, running: true, in: 0, out: 0, err: 0 } }),
  },
  { type: FRAME.DATA, channel: 1, stream: 1, payload: Buffer.from("out") },
  { type: FRAME.DATA, channel: 2, stream: 1, payload: Buffer.from("err") },
  { type: FRAME.RESPONSE, channel: 0, stream: 3, payload: json({ ok: { size: 9 } }) },
  { type: FRAME.DATA, channel: 1, stream: 3, payload: Buffer.from("the file.") },
  { type: FRAME.RESPONSE, channel: 0, stream: 7, payload: json({ ok: { port: 80 } }) },
  { type: FRAME.REQUEST, channel: 0, stream: 2, payload: json({ op: "accepted", listener: 7 }) },
  { type: FRAME.DATA, channel: 1, stream: 2, payload: Buffer.from("GET /") },
  { type: FRAME.ACK, channel: 0, stream: 9, payload: offset(4n) },
];

type Spoil =
  | { kind: "flip"; at: number; value: number }
  | { kind: "cut"; at: number; length: number }
  | { kind: "noise"; at: number; bytes: Uint8Array };
const at = fc.nat(1 << 20);
const spoil: fc.Arbitrary<Spoil> = fc.oneof(
  fc.record({ kind: fc.constant("flip" as const), at, value: fc.nat(255) }),
  fc.record({ kind: fc.constant("cut" as const), at, length: fc.nat(200) }),
  fc.record({ kind: fc.constant("noise" as const), at, bytes: fc.uint8Array({ maxLength: 200 }) }),
);

function spoiled(bytes: Buffer, change: Spoil): Buffer {
  const from = bytes.length === 0 ? 0 : change.at % bytes.length;
  if (change.kind === "cut")
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + change.length)]);
  if (change.kind === "noise")
    return Buffer.concat([bytes.subarray(0, from), change.bytes, bytes.subarray(from)]);
  const copy = Buffer.from(bytes);
  if (from < copy.length) copy[from] = change.value;
  return copy;
}

/** What is thrown instead of told; the process would be gone. */
const uncaught: unknown[] = [];
const note = (error: unknown) => uncaught.push(error);
beforeAll(() => void process.on("uncaughtException", note).on("unhandledRejection", note));
afterAll(() => void process.off("uncaughtException", note).off("unhandledRejection", note));

const isTold = (error: unknown) => error instanceof SessionError || error instanceof AgentRefusal;

/** One session from hello to its end. `greet`: bytes of the answer, given the session id. */
async function session(
  greet: (id: bigint) => Buffer,
  then: (id: bigint) => Buffer,
  chunkBytes: number,
): Promise<void> {
  const [host, guest] = duplexPair();
  host.on("error", () => {});
  guest.on("error", () => {});
  const say = async (bytes: Buffer) => {
    for (let from = 0; from < bytes.length && !guest.destroyed; from += chunkBytes) {
      guest.write(bytes.subarray(from, from + chunkBytes));
      await turn();
    }
  };
  const hello = new Promise<bigint>((resolve) => {
    const reader = new FrameReader({
      frame: (header: FrameHeader) => resolve(header.session),
      data: () => {},
    });
    guest.on("data", (chunk: Buffer) => reader.push(chunk));
  });
  const opening = Agent.connect(host, { deadlineMs: 60, guestIsBetweenFrames: true });
  opening.catch(() => {});
  const id = await hello;
  await say(greet(id));
  let agent: Agent;
  try {
    agent = await opening;
  } catch (error) {
    expect(error).toSatisfy(isTold);
    return;
  }
  const outcomes = Promise.allSettled([
    agent.start({ id: "a", argv: ["x"] }, { onData: () => {}, onEvent: () => {} }),
    agent.readFile("/x").then(async ({ body }) => {
      for await (const _ of body);
    }),
    agent.stat("/x"),
    agent.listen(80),
    agent.writeFile("/x", upload()),
  ]);
  agent.session.offers.onAccepted = (_listener, accepted) =>
    void duplexOf(accepted)
      .on("error", () => {})
      .resume();
  await turn();
  await say(then(id));
  guest.end();
  await turn();
  guest.destroy();
  host.destroy();
  expect(await agent.session.ended).toBeInstanceOf(SessionError);
  for (const outcome of await outcomes)
    if (outcome.status === "rejected") expect(outcome.reason).toSatisfy(isTold);
}

const upload = () => Readable.from([Buffer.from("data"), Buffer.alloc(300_000)]);

const wire = (id: bigint, frames: Frame[]) =>
  Buffer.concat(
    frames.flatMap(({ payload: body, ...header }) => encodeFrame({ session: id, ...header }, body)),
  );
const welcome = (id: bigint) =>
  wire(id, [{ type: FRAME.WELCOME, channel: 0, stream: 0, payload: json({ version: 1, agent: "f" }) }]);

const chunk = fc.constantFrom(3, HEADER_BYTES, 1000, 1 << 20);

test(`frames nobody expects, spoiled or not (FUZZ_SEED=${seed}, ${iterations} iterations)`, async () => {
  const before = process.memoryUsage().rss;
  await fc.assert(
    fc.asyncProperty(
      fc.boolean(),
      fc.array(frame, { maxLength: 12 }),
      fc.array(spoil, { maxLength: 3 }),
      chunk,
      async (wellBehaved, frames, changes, size) => {
        const all = [...(wellBehaved ? decent : []), ...frames];
        const bytes = all.reduce((sum, { payload: body }) => sum + body.length, 0);
        // Large payloads in tiny chunks take long and say nothing new.
        const chunkBytes = bytes > 20_000 ? 1 << 20 : size;
        await session(welcome, (id) => changes.reduce(spoiled, wire(id, all)), chunkBytes);
        expect(uncaught).toEqual([]);
      },
    ),
    { seed, numRuns: iterations },
  );
  expect(process.memoryUsage().rss - before).toBeLessThan(400 << 20);
}, 300_000);

test(`answers to the hello, spoiled (FUZZ_SEED=${seed})`, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.jsonValue(),
      fc.boolean(),
      fc.array(spoil, { maxLength: 3 }),
      chunk,
      async (value, sound, changes, size) => {
        const body = sound ? { version: 1, agent: "f", extra: value } : value;
        const greet = (id: bigint) =>
          changes.reduce(
            spoiled,
            wire(id, [
              {
                type: FRAME.WELCOME,
                channel: 0,
                stream: 0,
                payload: json(body).subarray(0, MAX_PAYLOAD_BYTES),
              },
            ]),
          );
        await session(greet, () => Buffer.alloc(0), size);
        expect(uncaught).toEqual([]);
      },
    ),
    { seed, numRuns: Math.ceil(iterations / 10) },
  );
}, 300_000);

test(`random bytes after the hello (FUZZ_SEED=${seed})`, async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 4000 }), chunk, async (bytes, size) => {
      await session(welcome, () => Buffer.from(bytes), size);
      expect(uncaught).toEqual([]);
    }),
    { seed, numRuns: Math.ceil(iterations / 5) },
  );
}, 300_000);
