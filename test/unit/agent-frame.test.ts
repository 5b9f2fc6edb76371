import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import * as guest from "../../api/guest.ts";
import { encodeFrame, FrameFault, type FrameHeader, FrameReader } from "../../runners/agent/frame.ts";
import * as schemas from "../../runners/agent/messages.ts";
import { FRAME, HEADER_BYTES, MAX_FRAME_BYTES, MAX_PAYLOAD_BYTES } from "../../runners/agent/protocol.ts";

interface FrameVector {
  name: string;
  hex: string;
  frame?: { type: keyof typeof FRAME; channel: number; session: string; stream: number; payload: string };
  fault?: string;
  incomplete?: boolean;
}
const frames: FrameVector[] = JSON.parse(readFileSync("test/vectors/frames.json", "utf8")).vectors;
const whole = frames.filter(({ frame }) => frame !== undefined);

/** Frames as they come out, DATA put together again; `data` pieces carry no trailer, so a whole frame is known by its length. */
function read(chunks: Buffer[]): { frames: string[]; error: unknown; pieces: number } {
  const out: string[] = [];
  let partial = Buffer.alloc(0);
  let pieces = 0;
  const show = (header: FrameHeader, payload: Buffer) => {
    out.push(
      `${header.type} ${header.channel} ${header.session} ${header.stream} ${payload.toString("hex")}`,
    );
  };
  const reader = new FrameReader({
    frame: show,
    data: (header, piece) => {
      pieces += 1;
      partial = Buffer.concat([partial, piece]);
      if (partial.length < header.length) return;
      show(header, partial);
      partial = Buffer.alloc(0);
    },
  });
  try {
    for (const chunk of chunks) reader.push(chunk);
    return { frames: out, error: null, pieces };
  } catch (error) {
    return { frames: out, error, pieces };
  }
}

function shown({ frame }: FrameVector): string[] {
  if (!frame) return [];
  // DATA without bytes says nothing.
  if (frame.type === "DATA" && frame.payload === "") return [];
  return [`${FRAME[frame.type]} ${frame.channel} ${BigInt(frame.session)} ${frame.stream} ${frame.payload}`];
}

const bytesOf = (vector: FrameVector) => Buffer.from(vector.hex, "hex");

describe("golden vectors", () => {
  test("there are some of each kind", () => {
    expect(whole.length).toBeGreaterThan(8);
    expect(frames.filter(({ fault }) => fault !== undefined).length).toBeGreaterThan(3);
    expect(frames.filter(({ incomplete }) => incomplete).length).toBeGreaterThan(1);
  });

  test.each(frames.map((vector) => [vector.name, vector] as const))("%s", (_name, vector) => {
    const result = read([bytesOf(vector)]);
    if (vector.fault === undefined) {
      expect(result.error).toBeNull();
      // A frame cut short gives at most the DATA bytes that came.
      if (vector.frame) expect(result.frames).toEqual(shown(vector));
      else expect(result.frames.filter((frame) => !frame.startsWith(`${FRAME.DATA} `))).toEqual([]);
    } else {
      expect(result.error).toBeInstanceOf(FrameFault);
      expect((result.error as FrameFault).kind).toBe(vector.fault);
    }
  });

  test.each(whole.map((vector) => [vector.name, vector] as const))(
    "%s is written as it is read",
    (_name, vector) => {
      const { frame } = vector;
      if (!frame) throw new Error("not whole");
      const { type, channel, session, stream, payload } = frame;
      const parts = encodeFrame(
        { type: FRAME[type], channel, session: BigInt(session), stream },
        Buffer.from(payload, "hex"),
      );
      expect(Buffer.concat(parts).toString("hex")).toBe(vector.hex);
    },
  );
});

describe("a stream of frames", () => {
  const small = whole.filter(({ hex }) => hex.length < 1000);
  const stream = Buffer.concat(small.flatMap((vector, index) => [Buffer.alloc(index), bytesOf(vector)]));
  const expected = small.flatMap(shown);

  test("cut in two at every byte, with zeros between the frames", () => {
    for (let at = 0; at <= stream.length; at++) {
      const { frames: got, error } = read([stream.subarray(0, at), stream.subarray(at)]);
      expect(error).toBeNull();
      expect(got).toEqual(expected);
    }
  });

  test.each([1, 2, 3, 7, 19, 20, 21, 64])("in chunks of %i", (size) => {
    const chunks: Buffer[] = [];
    for (let at = 0; at < stream.length; at += size) chunks.push(stream.subarray(at, at + size));
    expect(read(chunks)).toMatchObject({ frames: expected, error: null });
  });

  test("a run of zeros as long as a frame completes whatever half frame came before, as a fault", () => {
    const valid = bytesOf(whole[0] as FrameVector);
    for (let cut = 1; cut < valid.length; cut++) {
      const { error } = read([valid.subarray(0, cut), Buffer.alloc(MAX_FRAME_BYTES)]);
      expect(error).toBeInstanceOf(FrameFault);
    }
  });
});

describe("faults and bounds", () => {
  const header = (length: number, reserved = 0, magic = 0xa5) => {
    const head = Buffer.alloc(HEADER_BYTES);
    head[0] = magic;
    head[1] = FRAME.EVENT;
    head[3] = reserved;
    head.writeUInt32LE(length, 16);
    return head;
  };

  test.each([
    ["magic", header(0, 0, 0xa4)],
    ["reserved", header(0, 1)],
    ["length", header(MAX_PAYLOAD_BYTES + 1)],
    ["length", header(0xffff_ffff)],
    ["trailer", Buffer.concat([header(2), Buffer.from("{}"), Buffer.from([0x5b])])],
  ] as const)("%s", (kind, bytes) => {
    for (const chunks of [[bytes], [...bytes].map((byte) => Buffer.from([byte]))]) {
      expect((read(chunks).error as FrameFault).kind).toBe(kind);
    }
  });

  test("the largest frame passes, one byte more is refused before anything is allocated", () => {
    const payload = Buffer.alloc(MAX_PAYLOAD_BYTES, 7);
    const bytes = Buffer.concat(
      encodeFrame({ type: FRAME.EVENT, channel: 0, session: 1n, stream: 1 }, payload),
    );
    expect(bytes.length).toBe(MAX_FRAME_BYTES);
    expect(read([bytes]).frames).toHaveLength(1);
    expect(() =>
      encodeFrame(
        { type: FRAME.EVENT, channel: 0, session: 1n, stream: 1 },
        Buffer.alloc(MAX_PAYLOAD_BYTES + 1),
      ),
    ).toThrow(RangeError);
  });

  test("zeros for ever cost nothing and are not a fault", () => {
    const chunk = Buffer.alloc(1 << 20);
    expect(read(Array.from({ length: 64 }, () => chunk))).toEqual({ frames: [], error: null, pieces: 0 });
  });

  test("DATA is handed on as views of what was pushed", () => {
    const bytes = Buffer.concat(
      encodeFrame({ type: FRAME.DATA, channel: 1, session: 1n, stream: 1 }, Buffer.from("hello")),
    );
    const seen: Buffer[] = [];
    new FrameReader({ frame: () => {}, data: (_header, piece) => seen.push(piece) }).push(bytes);
    expect(seen[0]?.buffer).toBe(bytes.buffer);
    expect(String(seen[0])).toBe("hello");
  });
});

describe("messages of the guest", () => {
  interface MessageVector {
    name: string;
    type: string;
    shape: string;
    hex: string;
    json: { ok?: unknown };
  }
  const messages: MessageVector[] = JSON.parse(readFileSync("test/vectors/messages.json", "utf8")).vectors;
  const taken: Record<string, z.ZodType> = {
    welcome: schemas.welcome,
    unwelcome: schemas.welcome,
    accepted: schemas.accepted,
    connect: schemas.connect,
    taken: schemas.response,
    attached: schemas.startOk,
    entry: guest.fileEntry,
    listing: guest.folderListing,
    opened: schemas.readOk,
    treeDone: guest.treeReport,
    listening: schemas.listenOk,
    quiesced: schemas.quiesceOk,
    processList: schemas.processesOk,
    dying: guest.crash,
    nothing: schemas.response,
    stats: schemas.response,
    pong: schemas.response,
    error: schemas.response,
    reset: schemas.agentError,
    event: z.union([schemas.exitEvent, schemas.crashEvent, schemas.sessionEvent]),
  };
  const answers = [
    "attached",
    "entry",
    "listing",
    "opened",
    "treeDone",
    "listening",
    "quiesced",
    "processList",
    "dying",
  ];

  test.each(messages.map((message) => [message.name, message] as const))(
    "%s",
    (_name, { type, shape, hex, json }) => {
      expect(JSON.parse(Buffer.from(hex, "hex").toString("utf8"))).toEqual(json);
      const schema = taken[shape];
      if (!schema || (type === "REQUEST" && !["accepted", "connect"].includes(shape))) return;
      if (answers.includes(shape)) expect(schemas.response.safeParse(json).error).toBeUndefined();
      expect(schema.safeParse(answers.includes(shape) ? json.ok : json).error).toBeUndefined();
    },
  );

  test("each shape has a vector", () => {
    expect(
      Object.keys(taken).filter((shape) => !messages.some((message) => message.shape === shape)),
    ).toEqual([]);
  });
});
