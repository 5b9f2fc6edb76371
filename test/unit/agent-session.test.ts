import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { Agent } from "../../runners/agent/agent.ts";
import { duplexOf } from "../../runners/agent/duplex.ts";
import { AgentRefusal, SessionError } from "../../runners/agent/errors.ts";
import {
  EXEC_WINDOW_BYTES,
  FRAME,
  MAX_FRAME_BYTES,
  MAX_PAYLOAD_BYTES,
  STREAM_WINDOW_BYTES,
} from "../../runners/agent/protocol.ts";
import { AgentSession } from "../../runners/agent/session.ts";
import type { AgentStream, StreamShape } from "../../runners/agent/stream.ts";
import { ack, type Pair, socketPair, welcomed } from "./agent-peer.ts";

let pair: Pair;
beforeEach(async () => {
  pair = await socketPair();
});
afterEach(() => pair.close());

const anything = z.looseObject({});
const EXEC = { in: true, out: true, err: true, windowBytes: EXEC_WINDOW_BYTES };
const DOWNLOAD = { out: true, windowBytes: STREAM_WINDOW_BYTES };

/** What ends the session when the guest does `act` to an open stream, and that the stream is told the same. */
async function endOf(
  act: (stream: AgentStream, id: number) => void,
  shape: StreamShape = EXEC,
): Promise<SessionError> {
  const { session } = await welcomed(pair);
  let told: Error | null | undefined;
  const stream = session.open(
    "start",
    { id: "x" },
    { shape, handlers: { onData: () => {}, onClose: (error) => (told = error) } },
  );
  const { stream: id } = await pair.peer.request("start");
  act(stream, id);
  const end = await session.ended;
  if (stream.isClosed && told !== null) expect(told).toBe(end);
  expect(pair.host.destroyed).toBe(true);
  return end;
}

describe("hello", () => {
  test("is repeated with the same session id, zeros before it, until it is answered", async () => {
    const opening = AgentSession.open(pair.host, { deadlineMs: 60_000 });
    const hellos = () => pair.peer.frames.filter(({ type }) => type === FRAME.HELLO);
    const raw: number[] = [];
    pair.peer.socket.on("data", (chunk: Buffer) => raw.push(chunk.length));
    while (hellos().length < 3) await sleep(20);
    expect(new Set(hellos().map(({ session }) => session)).size).toBe(1);
    expect(raw.reduce((sum, bytes) => sum + bytes, 0)).toBeGreaterThan(2 * MAX_FRAME_BYTES);
    await pair.peer.welcome({
      version: 1,
      agent: "0.1.0",
      bootId: null,
      execs: ["a"],
      faults: 3,
      errors: [],
    });
    expect((await opening).welcome).toMatchObject({ execs: ["a"], faults: 3 });
  });

  test("a second WELCOME, the answer to a repeated hello, is nothing", async () => {
    const { session } = await welcomed(pair);
    await pair.peer.welcome();
    const asked = session.request("ping", {}, anything);
    const { stream } = await pair.peer.request("ping");
    pair.peer.send(FRAME.RESPONSE, { stream, payload: { ok: {} } });
    expect(await asked).toEqual({});
  });

  test.each([1, 5, 16, 4096])(
    "stale bytes of another session before the WELCOME are skipped, in chunks of %i",
    async (size) => {
      const opening = AgentSession.open(pair.host, { deadlineMs: 60_000, guestIsBetweenFrames: true });
      await pair.peer.frame(({ type }) => type === FRAME.HELLO);
      const stale = Buffer.concat([
        Buffer.from("\xa5\x02\x00\x00half a welcome", "latin1"),
        pair.peer.bytes(FRAME.WELCOME, {
          session: pair.peer.sessionId + 2n,
          payload: { version: 1, agent: "old" },
        }),
        pair.peer.bytes(FRAME.DATA, { session: 7n, stream: 1, channel: 1, payload: Buffer.alloc(300, 0xa5) }),
        pair.peer
          .bytes(FRAME.DATA, { session: 7n, stream: 1, channel: 1, payload: Buffer.alloc(300) })
          .subarray(0, 99),
      ]);
      const all = Buffer.concat([
        stale,
        pair.peer.bytes(FRAME.WELCOME, { payload: { version: 1, agent: "new" } }),
      ]);
      for (let at = 0; at < all.length; at += size) {
        pair.peer.socket.write(all.subarray(at, at + size));
        if (size < 100 && at % 64 === 0) await new Promise(setImmediate);
      }
      expect((await opening).welcome.agent).toBe("new");
    },
  );

  test.each([
    ["not JSON", Buffer.from("{"), /not JSON/],
    ["not an object", [1], /wrong shape/],
    ["execs that are no list", { version: 1, agent: "x", execs: "a" }, /wrong shape/],
    ["a name as long as a frame", { version: 1, agent: "x".repeat(60_000) }, /wrong shape/],
    ["another version", { version: 9, agent: "x" }, /no protocol version in common/],
    ["no version in common", { version: 0, agent: "x", error: "too old" }, /too old/],
  ])("a WELCOME that is %s is a fault", async (_what, body, message) => {
    const opening = AgentSession.open(pair.host, { deadlineMs: 60_000 });
    opening.catch(() => {});
    await pair.peer.welcome(body);
    await expect(opening).rejects.toThrow(message);
    await expect(opening).rejects.toMatchObject({ kind: "fault" });
    expect(pair.host.destroyed).toBe(true);
  });

  test("no answer is a timeout, after the deadline", async () => {
    await expect(AgentSession.open(pair.host, { deadlineMs: 200 })).rejects.toMatchObject({
      kind: "timeout",
    });
    expect(pair.host.destroyed).toBe(true);
  });

  test("a guest that only ever sends other bytes is a timeout, and holds no memory", async () => {
    const chunk = Buffer.alloc(65_536, 0xa5);
    let sent = 0;
    const pump = () => {
      while (!pair.peer.socket.destroyed && pair.peer.socket.write(chunk)) sent += chunk.length;
    };
    pair.peer.socket.on("drain", pump);
    const before = process.memoryUsage().rss;
    pump();
    await expect(AgentSession.open(pair.host, { deadlineMs: 5000 })).rejects.toMatchObject({
      kind: "timeout",
    });
    expect(sent).toBeGreaterThan(8 << 20);
    expect(process.memoryUsage().rss - before).toBeLessThan(200 << 20);
  });

  test("a connection that closes, and one given up", async () => {
    const opening = AgentSession.open(pair.host, { deadlineMs: 60_000 });
    opening.catch(() => {});
    await pair.peer.frame(({ type }) => type === FRAME.HELLO);
    pair.peer.socket.destroy();
    await expect(opening).rejects.toMatchObject({ kind: "closed" });
    const other = await socketPair();
    const controller = new AbortController();
    const given = AgentSession.open(other.host, { deadlineMs: 60_000, signal: controller.signal });
    given.catch(() => {});
    controller.abort();
    await expect(given).rejects.toMatchObject({ kind: "closed" });
    other.close();
  });
});

describe("faults of the guest end the session and name it", () => {
  const answer = { ok: { pid: 1, in: 0, out: 0, err: 0, running: true } };

  test.each([
    ["magic", Buffer.from([0x41]), /bad magic/],
    ["reserved byte", Buffer.from([0xa5, 8, 0, 1, ...new Array(16).fill(0)]), /bad reserved/],
    ["length", Buffer.from([0xa5, 8, 0, 0, ...new Array(12).fill(0), 1, 0, 1, 0]), /bad length/],
    ["trailer", Buffer.from([0xa5, 8, 0, 0, ...new Array(16).fill(0), 0x41]), /bad trailer/],
  ])("framing: %s", async (_what, bytes, message) => {
    const end = await endOf(() => pair.peer.socket.write(bytes));
    expect(end.kind).toBe("fault");
    expect(end.message).toMatch(message);
  });

  test("half a frame, then the end", async () => {
    const end = await endOf((_stream, id) =>
      pair.peer.socket.end(pair.peer.bytes(FRAME.RESPONSE, { stream: id, payload: answer }).subarray(0, 25)),
    );
    expect(end).toMatchObject({ kind: "closed" });
  });

  type Act = (id: number) => void;
  const acts: [string, Act, RegExp][] = [
    [
      "an answer that is not JSON",
      (stream) => pair.peer.send(FRAME.RESPONSE, { stream, payload: Buffer.from("nope") }),
      /not JSON/,
    ],
    [
      "an invalid answer",
      (stream) => pair.peer.send(FRAME.RESPONSE, { stream, payload: { maybe: 1 } }),
      /wrong shape/,
    ],
    [
      "an unknown kind of error",
      (stream) => pair.peer.send(FRAME.RESPONSE, { stream, payload: { error: { kind: "eh", message: "" } } }),
      /wrong shape/,
    ],
    [
      "an event that is not JSON",
      (stream) => pair.peer.send(FRAME.EVENT, { stream, payload: Buffer.from([0xff]) }),
      /not JSON/,
    ],
    [
      "an unknown event of the session",
      () => pair.peer.send(FRAME.EVENT, { payload: { event: "party" } }),
      /wrong shape/,
    ],
    ["an unknown type on a stream", (stream) => pair.peer.send(99, { stream }), /unknown type 99/],
    ["a HELLO of its own", (stream) => pair.peer.send(FRAME.HELLO, { stream }), /unknown type 1/],
    [
      "an unknown type on stream 0",
      () => pair.peer.send(FRAME.RESPONSE, { payload: { ok: {} } }),
      /type 4 on stream 0/,
    ],
    [
      "data on stdin's channel",
      (stream) => pair.peer.send(FRAME.DATA, { stream, channel: 0, payload: Buffer.from("x") }),
      /channel 0/,
    ],
    [
      "data on a channel there is not",
      (stream) => pair.peer.send(FRAME.DATA, { stream, channel: 200, payload: Buffer.from("x") }),
      /channel 200/,
    ],
    [
      "data before the answer",
      (stream) => pair.peer.send(FRAME.DATA, { stream, channel: 1, payload: Buffer.from("x") }),
      /before the answer/,
    ],
    [
      "an ACK of what was never sent",
      (stream) => pair.peer.send(FRAME.ACK, { stream, payload: ack(1n) }),
      /never sent/,
    ],
    [
      "an ACK beyond all numbers",
      (stream) => pair.peer.send(FRAME.ACK, { stream, payload: ack(0xffff_ffff_ffff_ffffn) }),
      /never sent/,
    ],
    [
      "an ACK cut short",
      (stream) => pair.peer.send(FRAME.ACK, { stream, payload: Buffer.alloc(7) }),
      /never sent/,
    ],
    [
      "a stream with an id of the host's",
      () => pair.peer.send(FRAME.REQUEST, { stream: 11, payload: { op: "accepted", listener: 1 } }),
      /stream 11, which is not its to open/,
    ],
    [
      "a request that is no request",
      () => pair.peer.send(FRAME.REQUEST, { stream: 2, payload: { op: "start" } }),
      /wrong shape/,
    ],
    [
      "two answers",
      (stream) => {
        for (let n = 0; n < 2; n++) pair.peer.send(FRAME.RESPONSE, { stream, payload: answer });
      },
      /answered a request twice/,
    ],
    [
      "data after the end of its channel",
      (stream) => {
        pair.peer.send(FRAME.RESPONSE, { stream, payload: answer });
        pair.peer.send(FRAME.END, { stream, channel: 1 });
        pair.peer.send(FRAME.DATA, { stream, channel: 1, payload: Buffer.from("x") });
      },
      /channel 1, which is not open/,
    ],
    [
      "more than its window",
      (stream) => {
        pair.peer.send(FRAME.RESPONSE, { stream, payload: answer });
        for (let sent = 0; sent <= EXEC_WINDOW_BYTES; sent += 65_536)
          pair.peer.send(FRAME.DATA, { stream, channel: 2, payload: Buffer.alloc(65_536) });
      },
      /more than its window/,
    ],
  ];
  test.each(acts)("%s", async (_what, act, message) => {
    const end = await endOf((_stream, id) => act(id));
    expect(end).toBeInstanceOf(SessionError);
    expect(end.kind).toBe("fault");
    expect(end.message).toMatch(message);
  });

  test("data on a channel the request has not", async () => {
    const end = await endOf((_stream, stream) => {
      pair.peer.send(FRAME.RESPONSE, { stream, payload: { ok: {} } });
      pair.peer.send(FRAME.DATA, { stream, channel: 2, payload: Buffer.from("x") });
    }, DOWNLOAD);
    expect(end.message).toMatch(/channel 2, which is not open/);
  });

  test("an invalid answer to a typed request", async () => {
    const { session } = await welcomed(pair);
    const asked = session.request("stat", { path: "/" }, z.object({ size: z.number() }));
    asked.catch(() => {});
    const { stream } = await pair.peer.request("stat");
    pair.peer.send(FRAME.RESPONSE, { stream, payload: { ok: { size: "large" } } });
    await expect(asked).rejects.toMatchObject({ kind: "fault" });
    expect(await session.ended).toMatchObject({ kind: "fault" });
  });

  test("an unanswered request is told when the session ends, and so is one made later", async () => {
    const { session } = await welcomed(pair);
    const asked = session.request("ping", {}, anything);
    asked.catch(() => {});
    pair.peer.socket.destroy();
    await expect(asked).rejects.toMatchObject({ kind: "closed" });
    await expect(session.request("ping", {}, anything)).rejects.toMatchObject({ kind: "closed" });
  });
});

test("an agent that ends the session says why", async () => {
  const end = await endOf(() =>
    pair.peer.send(FRAME.RESET, { payload: { kind: "invalid", message: "more than the window" } }),
  );
  expect(end).toMatchObject({
    kind: "fault",
    message: expect.stringMatching(/ended the session: more than the window/),
  });
});

describe("what is dropped", () => {
  test("frames of other sessions and of unknown streams", async () => {
    const { session } = await welcomed(pair);
    const { sessionId } = pair.peer;
    pair.peer.send(FRAME.DATA, { session: sessionId + 1n, stream: 1, channel: 1, payload: Buffer.from("x") });
    pair.peer.send(77, { session: sessionId + 1n, payload: Buffer.from("x") });
    for (const type of [FRAME.DATA, FRAME.ACK, FRAME.END, FRAME.RESET, FRAME.RESPONSE, FRAME.EVENT, 99]) {
      pair.peer.send(type, { stream: 4001, channel: 1, payload: Buffer.from("junk") });
    }
    const asked = session.request("ping", {}, anything);
    const { stream } = await pair.peer.request("ping");
    pair.peer.send(FRAME.RESPONSE, { stream, payload: { ok: {} } });
    expect(await asked).toEqual({});
  });
});

describe("floods are bounded", () => {
  test("a guest that sends and does not read what waits for it", async () => {
    const { session } = await welcomed(pair);
    pair.peer.socket.pause();
    const before = process.memoryUsage().rss;
    const padding = "x".repeat(60_000);
    for (let n = 0; n < 300; n++) session.open("ping", { padding });
    pair.peer.send(FRAME.REQUEST, { stream: 2, payload: { op: "accepted", listener: 1 } });
    expect(await session.ended).toMatchObject({
      kind: "fault",
      message: expect.stringMatching(/does not read/),
    });
    expect(process.memoryUsage().rss - before).toBeLessThan(300 << 20);
  });

  test("connections that are taken: so many at once, the others refused", async () => {
    const { session } = await welcomed(pair);
    let taken = 0;
    session.offers.onAccepted = () => {
      taken += 1;
    };
    for (let id = 2; id <= 2000; id += 2)
      pair.peer.send(FRAME.REQUEST, { stream: id, payload: { op: "accepted", listener: 1 } });
    await pair.peer.frame(({ type, stream }) => type === FRAME.RESPONSE && stream === 2000);
    const refused = pair.peer.frames.filter(
      ({ type, payload }) => type === FRAME.RESPONSE && String(payload).includes("too many"),
    );
    expect([taken, refused.length]).toEqual([256, 744]);
  });

  test("events, large frames of unknown streams, data nobody asked for", async () => {
    const { session } = await welcomed(pair);
    let events = 0;
    session.onEvent = () => {
      events += 1;
    };
    const burst = Buffer.concat([
      pair.peer.bytes(FRAME.EVENT, { payload: { event: "log", message: "x".repeat(4000) } }),
      pair.peer.bytes(FRAME.EVENT, { stream: 999, payload: Buffer.alloc(MAX_PAYLOAD_BYTES) }),
      pair.peer.bytes(FRAME.DATA, { stream: 999, channel: 1, payload: Buffer.alloc(MAX_PAYLOAD_BYTES) }),
    ]);
    const before = process.memoryUsage().rss;
    for (let n = 0; n < 1500; n++)
      if (!pair.peer.socket.write(burst))
        await new Promise((resolve) => pair.peer.socket.once("drain", resolve));
    const asked = session.request("ping", {}, anything);
    const { stream } = await pair.peer.request("ping");
    pair.peer.send(FRAME.RESPONSE, { stream, payload: { ok: {} } });
    await asked;
    expect(events).toBe(1500);
    expect(process.memoryUsage().rss - before).toBeLessThan(300 << 20);
  });
});

describe("streams", () => {
  test("ids are odd, rising, never used again", async () => {
    const { session } = await welcomed(pair);
    for (let n = 0; n < 5; n++) {
      const asked = session.request("ping", {}, anything);
      const { stream } = await pair.peer.frame(
        ({ type, stream: id }) => type === FRAME.REQUEST && id === 2 * n + 1,
      );
      pair.peer.send(FRAME.RESPONSE, {
        stream,
        payload: n % 2 ? { ok: {} } : { error: { kind: "refused", message: "no" } },
      });
      if (n % 2) await asked;
      else await expect(asked).rejects.toBeInstanceOf(AgentRefusal);
    }
  });

  test("a request too large for a frame is refused here, and costs the session nothing", async () => {
    const { session } = await welcomed(pair);
    await expect(
      session.request("start", { argv: ["x".repeat(MAX_PAYLOAD_BYTES)] }, anything),
    ).rejects.toMatchObject({ name: "AgentRefusal", kind: "limit" });
    const asked = session.request("ping", {}, anything);
    const { stream } = await pair.peer.request("ping");
    pair.peer.send(FRAME.RESPONSE, { stream, payload: { ok: {} } });
    await asked;
  });

  test("writing waits for the window, and goes on with each ACK", async () => {
    const { session } = await welcomed(pair);
    const upload = session.open(
      "write",
      { path: "/x" },
      { shape: { in: true, windowBytes: STREAM_WINDOW_BYTES } },
    );
    const { stream } = await pair.peer.request("write");
    const bytes = Buffer.alloc(3 * STREAM_WINDOW_BYTES, 1);
    let done = false;
    const writing = upload.write(bytes).then(() => (done = true));
    const received = () =>
      pair.peer.frames
        .filter(({ type }) => type === FRAME.DATA)
        .reduce((sum, { payload }) => sum + payload.length, 0);
    while (received() < STREAM_WINDOW_BYTES) await sleep(5);
    await sleep(50);
    expect([received(), done]).toEqual([STREAM_WINDOW_BYTES, false]);
    pair.peer.send(FRAME.ACK, { stream, payload: ack(1000n) });
    while (received() < STREAM_WINDOW_BYTES + 1000) await sleep(5);
    pair.peer.send(FRAME.ACK, { stream, payload: ack(5n) });
    while (received() < bytes.length) {
      pair.peer.send(FRAME.ACK, { stream, payload: ack(BigInt(received())) });
      await sleep(5);
    }
    await writing;
    expect(received()).toBe(bytes.length);
  });

  test("an early error ends an upload with what the guest said", async () => {
    const opening = Agent.connect(pair.host, { deadlineMs: 60_000 });
    await pair.peer.welcome();
    const agent = await opening;
    const endless = new Readable({
      read() {
        this.push(Buffer.alloc(65_536));
      },
    });
    const upload = agent.writeFile("/x", endless);
    upload.catch(() => {});
    const { stream } = await pair.peer.request("write");
    pair.peer.send(FRAME.RESPONSE, {
      stream,
      payload: { error: { kind: "io", message: "disk full", errno: 28 } },
    });
    await expect(upload).rejects.toMatchObject({ name: "AgentRefusal", message: "disk full" });
    expect(endless.destroyed).toBe(true);
  });

  test("an exec's stream closes once its output has ended, though stdin was left open", async () => {
    const opening = Agent.connect(pair.host, { deadlineMs: 60_000 });
    await pair.peer.welcome();
    const agent = await opening;
    const closed = Promise.withResolvers<Error | null>();
    const started = agent.start({ id: "a", argv: ["x"], stdin: true }, { onClose: closed.resolve });
    const { stream } = await pair.peer.request("start");
    pair.peer.send(FRAME.RESPONSE, {
      stream,
      payload: { ok: { pid: 1, running: true, in: 0, out: 0, err: 0 } },
    });
    await started;
    for (const channel of [1, 2]) pair.peer.send(FRAME.END, { stream, channel });
    expect(await closed.promise).toBeNull();
  });

  test("a forwarded connection: a reader that stops stops the guest, within a window", async () => {
    const { session } = await welcomed(pair);
    const accepted = Promise.withResolvers<AgentStream>();
    session.offers.onAccepted = (_listener, stream) => accepted.resolve(stream);
    pair.peer.send(FRAME.REQUEST, {
      stream: 2,
      payload: { op: "accepted", listener: 1, peer: "127.0.0.1:1" },
    });
    const duplex = duplexOf(await accepted.promise).on("error", () => {});
    for (let sent = 0; sent < STREAM_WINDOW_BYTES; sent += 16_384)
      pair.peer.send(FRAME.DATA, { stream: 2, channel: 1, payload: Buffer.alloc(16_384, 9) });
    await sleep(100);
    // Nobody reads: only what the duplex itself buffers was acknowledged.
    const acked = () =>
      pair.peer.frames
        .filter(({ type }) => type === FRAME.ACK)
        .reduce((most, { payload }) => Math.max(most, Number(payload.readBigUInt64LE())), 0);
    expect(acked()).toBeLessThanOrEqual(STREAM_WINDOW_BYTES / 2);
    let read = 0;
    duplex.on("data", (chunk: Buffer) => {
      read += chunk.length;
    });
    pair.peer.send(FRAME.END, { stream: 2, channel: 1 });
    await new Promise((resolve) => duplex.once("end", resolve));
    expect(read).toBe(STREAM_WINDOW_BYTES);
    duplex.end("bye");
    const last = await pair.peer.frame(({ type, stream }) => type === FRAME.END && stream === 2);
    expect(last.channel).toBe(0);
  });

  test("a reset by the guest ends only its stream", async () => {
    const { session } = await welcomed(pair);
    const dialled = session.open(
      "dial",
      { port: 1 },
      { shape: { in: true, out: true, windowBytes: STREAM_WINDOW_BYTES } },
    );
    const { stream } = await pair.peer.request("dial");
    pair.peer.send(FRAME.RESPONSE, { stream, payload: { ok: {} } });
    const duplex = duplexOf(dialled).on("error", () => {});
    const failed = new Promise<Error>((resolve) => duplex.once("error", resolve));
    pair.peer.send(FRAME.RESET, { stream, payload: Buffer.from("any bytes") });
    expect(await failed).toMatchObject({ kind: "closed" });
    const asked = session.request("ping", {}, anything);
    const ping = await pair.peer.request("ping");
    pair.peer.send(FRAME.RESPONSE, { stream: ping.stream, payload: { ok: {} } });
    await asked;
  });
});

describe("a flood is read at a bounded rate, and nothing of it is lost", () => {
  /** Sends copies of one frame for as long as they are taken, and counts what `heard` says after `ms`. */
  async function flood(
    frame: Buffer,
    ms: number,
    heard: () => number,
  ): Promise<{ per: number; sent: number }> {
    const chunk = Buffer.concat(new Array(Math.ceil(65_536 / frame.length)).fill(frame));
    const { socket } = pair.peer;
    let sent = 0;
    const pump = () => {
      while (!socket.destroyed) {
        sent += chunk.length / frame.length;
        if (!socket.write(chunk)) return;
      }
    };
    socket.on("drain", pump);
    const started = performance.now();
    pump();
    await new Promise((resolve) => setTimeout(resolve, ms));
    socket.off("drain", pump);
    return { per: heard() / ((performance.now() - started) / 1000), sent };
  }

  test("messages", async () => {
    const { session } = await welcomed(pair);
    let events = 0;
    session.onEvent = () => (events += 1);
    const frame = pair.peer.bytes(FRAME.EVENT, { payload: { event: "log", message: "" } });
    // A burst of 10,000 messages, then 5,000 a second.
    const { per, sent } = await flood(frame, 3000, () => events);
    expect(per).toBeLessThan(10_000);
    expect(sent).toBeGreaterThan(events);
    expect(events).toBeGreaterThan(1000);
    session.close();
  });

  test.each([
    ["of streams there are not", { stream: 4, channel: 1, payload: Buffer.from("x") }],
    ["without bytes", { stream: 4, channel: 1, payload: Buffer.alloc(0) }],
    ["of another session", { stream: 1, channel: 1, session: 7n, payload: Buffer.from("x") }],
  ])("frames %s: other requests are answered", async (_what, options) => {
    const { session } = await welcomed(pair);
    const frame = pair.peer.bytes(FRAME.DATA, options);
    const read = () => pair.host.bytesRead / frame.length;
    const { per } = await flood(frame, 3000, read);
    expect(per).toBeLessThan(60_000);
    const asked = session.request("ping", {}, z.looseObject({}));
    const { stream } = await pair.peer.request("ping");
    pair.peer.send(FRAME.RESPONSE, { stream, payload: { ok: {} } });
    await asked;
    session.close();
  });
});
