import { expect, test } from "vitest";
import { ThawError } from "../../client/errors.ts";
import { parseRecords, readLog } from "../../client/logs.ts";
import { ended } from "./client-server.ts";

function record(channel: number, data: string, offset = 0, timeMs = 1000): Buffer {
  const head = Buffer.alloc(24);
  head[0] = channel;
  head.writeUInt32LE(data.length, 4);
  head.writeBigUInt64LE(BigInt(timeMs), 8);
  head.writeBigUInt64LE(BigInt(offset), 16);
  return Buffer.concat([head, Buffer.from(data)]);
}
const status = (message: object): Buffer => record(3, JSON.stringify(message));

async function* stream(...chunks: (Buffer | Error)[]): AsyncGenerator<Buffer> {
  for (const chunk of chunks) {
    if (chunk instanceof Error) throw chunk;
    yield chunk;
  }
}

test("records are found however the bytes arrive; a half one at the end is none", async () => {
  const bytes = Buffer.concat([record(1, "abc", 5, 77), record(2, "")]);
  for (const size of [1, 7, 24, 1000]) {
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
      bytes.subarray(i * size, (i + 1) * size),
    );
    const found = [];
    for await (const one of parseRecords(stream(...chunks, Buffer.from([1, 2, 3]))))
      found.push({ ...one, data: Buffer.from(one.data) });
    expect(found).toEqual([
      { channel: 1, timeMs: 77, offset: 5, data: Buffer.from("abc") },
      { channel: 2, timeMs: 1000, offset: 0, data: Buffer.alloc(0) },
    ]);
  }
  await expect(parseRecords(stream(Buffer.alloc(24, 0xff))).next()).rejects.toThrow("wrong shape");
});

test("a log that was cut off goes on at its offsets; tail and since are asked for once", async () => {
  const asked: Record<string, string>[] = [];
  const bodies = [
    stream(
      status({ type: "from", out: 10, err: 4 }),
      record(1, "abc", 10),
      record(1, "d", 13).subarray(0, 20),
    ),
    stream(new ThawError("daemon-unreachable", "gone")),
    stream(
      status({ type: "from", out: 13, err: 4 }),
      status({ type: "dropped", channel: "err", offset: 9 }),
      record(1, "d", 13),
      status({ type: "end", exec: ended(0) }),
    ),
  ];
  const log = readLog(
    async (query) => {
      asked.push(query);
      return bodies.shift() ?? stream();
    },
    { tail: 5, follow: true },
  );
  const seen: string[] = [];
  for (;;) {
    const { done, value } = await log.next();
    if (done === true) {
      expect(value).toEqual(ended(0));
      break;
    }
    seen.push(
      "data" in value ? `${value.channel} ${value.data}` : `${value.channel} until ${value.droppedUntil}`,
    );
  }
  expect(seen).toEqual(["stdout abc", "stderr until 9", "stdout d"]);
  expect(asked[0]).toEqual({ follow: "1", tail: "5" });
  expect(asked.slice(1)).toEqual(Array(2).fill({ follow: "1", tail: "5", out: "13", err: "4" }));
});

test("a daemon that never ends its answer properly is given up on; its error is final", async () => {
  const endless = readLog(async () => stream(status({ type: "from", out: 0, err: 0 })), {});
  await expect(endless.next()).rejects.toThrow("again and again");
  const error = { code: "internal", message: "disk gone" };
  const failing = readLog(async () => stream(status({ type: "error", error })), {});
  await expect(failing.next()).rejects.toThrow("disk gone");
});
