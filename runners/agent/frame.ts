/** Frames on the wire, both ways. Pure: bytes in, frames out, no I/O. Format: docs/PROTOCOL.md, "Frames". */
import { FRAME, HEADER_BYTES, MAGIC, MAX_PAYLOAD_BYTES, TRAILER } from "./protocol.ts";

export interface FrameHeader {
  type: number;
  channel: number;
  session: bigint;
  stream: number;
  length: number;
}

export type FrameFaultKind = "magic" | "length" | "reserved" | "trailer";

/** The peer broke the framing. Nothing after it can be trusted: the session ends. */
export class FrameFault extends Error {
  override readonly name = "FrameFault";
  readonly kind: FrameFaultKind;
  constructor(kind: FrameFaultKind, value: number) {
    super(`bad ${kind} in a frame from the guest: ${value}`);
    this.kind = kind;
  }
}

const TRAILER_BYTE = Buffer.from([TRAILER]);

/** Header, payload and trailer as separate buffers, so that a large payload is written without being copied. */
export function encodeFrame(
  header: Omit<FrameHeader, "length">,
  payload: Uint8Array,
): [Buffer, Uint8Array, Buffer] {
  if (payload.length > MAX_PAYLOAD_BYTES)
    throw new RangeError(`payload of ${payload.length} bytes, ${MAX_PAYLOAD_BYTES} at most`);
  const head = Buffer.allocUnsafe(HEADER_BYTES);
  head[0] = MAGIC;
  head[1] = header.type;
  head[2] = header.channel;
  head[3] = 0;
  head.writeBigUInt64LE(header.session, 4);
  head.writeUInt32LE(header.stream, 12);
  head.writeUInt32LE(payload.length, 16);
  return [head, payload, TRAILER_BYTE];
}

export interface FrameSink {
  /** A whole frame of any type but DATA. The payload is the sink's to keep. */
  frame(header: FrameHeader, payload: Buffer): void;
  /** A piece of a DATA frame's payload, a view of the bytes pushed. Its trailer may not have been seen yet. */
  data(header: FrameHeader, piece: Buffer): void;
}

/**
 * Cuts a byte stream into frames. DATA payloads are handed on piece by piece without copying; all other frames are collected,
 * which the length limit bounds. Throws `FrameFault` from `push`; the reader is unusable after that.
 */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #head = Buffer.alloc(HEADER_BYTES);
  #headFill = 0;
  #header: FrameHeader | null = null;
  #payload: Buffer | null = null;
  /** Payload bytes still to come. */
  #left = 0;
  /** Frames that have begun. */
  count = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#header === null) at = this.#takeHeader(chunk, at);
      else if (this.#left > 0) at = this.#takePayload(chunk, at, this.#header);
      else at = this.#takeTrailer(chunk, at, this.#header);
    }
  }

  #takeHeader(chunk: Buffer, at: number): number {
    if (this.#headFill === 0) {
      while (at < chunk.length && chunk[at] === 0) at++;
      if (at === chunk.length) return at;
    }
    const take = Math.min(HEADER_BYTES - this.#headFill, chunk.length - at);
    chunk.copy(this.#head, this.#headFill, at, at + take);
    this.#headFill += take;
    const magic = this.#head[0] ?? 0;
    if (magic !== MAGIC) throw new FrameFault("magic", magic);
    if (this.#headFill < HEADER_BYTES) return at + take;
    this.#headFill = 0;
    const reserved = this.#head[3] ?? 0;
    if (reserved !== 0) throw new FrameFault("reserved", reserved);
    const length = this.#head.readUInt32LE(16);
    if (length > MAX_PAYLOAD_BYTES) throw new FrameFault("length", length);
    this.#header = {
      type: this.#head[1] ?? 0,
      channel: this.#head[2] ?? 0,
      session: this.#head.readBigUInt64LE(4),
      stream: this.#head.readUInt32LE(12),
      length,
    };
    this.count += 1;
    this.#left = length;
    this.#payload = this.#header.type === FRAME.DATA ? null : Buffer.allocUnsafe(length);
    return at + take;
  }

  #takePayload(chunk: Buffer, at: number, header: FrameHeader): number {
    const take = Math.min(this.#left, chunk.length - at);
    if (this.#payload === null) this.#sink.data(header, chunk.subarray(at, at + take));
    else chunk.copy(this.#payload, header.length - this.#left, at, at + take);
    this.#left -= take;
    return at + take;
  }

  #takeTrailer(chunk: Buffer, at: number, header: FrameHeader): number {
    const trailer = chunk[at] ?? 0;
    if (trailer !== TRAILER) throw new FrameFault("trailer", trailer);
    const payload = this.#payload;
    this.#header = null;
    this.#payload = null;
    if (payload !== null) this.#sink.frame(header, payload);
    return at + 1;
  }
}
