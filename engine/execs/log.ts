/**
 * An exec's output on disk: both channels in the order they came, with the time, in segments of which the oldest go when there are too many.
 * Survives the daemon: what was appended and written is found again by offset, a half-written last record is cut off. While the disk refuses,
 * output waits in memory and in the guest: it is written when there is room again.
 *
 * Segment: `THAWLOG1`, u64 offset of out, u64 offset of err at its start; then records: u8 channel, 3 × 0, u32 length, u64 time in ms, bytes.
 * Little-endian.
 */
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readdir, readFile, rm, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { Retry } from "../retry.ts";

export type Output = 1 | 2;

/** A piece without bytes says where its channel goes on: what is before its offset, and was not read, is not kept. */
export interface LogPiece {
  channel: Output;
  /** Offset of the first byte within its channel. */
  offset: number;
  timeMs: number;
  data: Buffer;
}

const { O_CREAT, O_WRONLY } = constants;
const MAGIC = Buffer.from("THAWLOG1");
const SEGMENT_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const MAX_RECORD_BYTES = 1 << 20;
/** Pieces that one write takes. */
const MAX_BATCH = 256;

export interface LogLimits {
  segmentBytes: number;
  /** Full segments kept besides the one being written. */
  keep: number;
}
export const DEFAULT_LIMITS: LogLimits = { segmentBytes: 8 << 20, keep: 2 };

type Offsets = Record<Output, number>;

interface Waiting {
  piece: LogPiece;
  /** The piece begins behind the end of its channel. */
  skips: boolean;
  done: () => void;
}

export class ExecLog {
  readonly #dir: string;
  readonly #limits: LogLimits;
  #file: FileHandle | null = null;
  #segment = 0;
  #segmentBytes = 0;
  /** What was appended, written or not. */
  readonly #offsets: Offsets;
  readonly #written: Offsets;
  #queue: Waiting[] = [];
  #writing: Promise<boolean> | null = null;
  readonly #retry = new Retry(() => this.#write());
  /** Wakes whoever waits for the next batch: with false when the disk refused it. */
  #batch = Promise.withResolvers<boolean>();

  private constructor(
    dir: string,
    limits: LogLimits,
    { offsets, segment, bytes }: { offsets: Offsets; segment: number; bytes: number },
  ) {
    this.#dir = dir;
    this.#limits = limits;
    this.#offsets = offsets;
    this.#written = { ...offsets };
    this.#segment = segment;
    this.#segmentBytes = bytes;
  }

  /** Opens or makes the log in folder `dir`, going on where an earlier process stopped. */
  static async open(dir: string, limits: LogLimits = DEFAULT_LIMITS): Promise<ExecLog> {
    await mkdir(dir, { recursive: true });
    for (const segment of (await segmentsOf(dir)).reverse()) {
      const end = await recoverEnd(segmentPath(dir, segment));
      if (end) return new ExecLog(dir, limits, { segment, ...end });
      await rm(segmentPath(dir, segment), { force: true });
    }
    return new ExecLog(dir, limits, { offsets: { 1: 0, 2: 0 }, segment: 0, bytes: 0 });
  }

  get out(): number {
    return this.#offsets[1];
  }
  get err(): number {
    return this.#offsets[2];
  }

  /** Takes a copy-free view: `data` must not change until `done`, which is called when it is on disk. */
  append(channel: Output, data: Buffer, done: () => void): LogPiece {
    const piece = { channel, offset: this.#offsets[channel], timeMs: Date.now(), data };
    this.#enqueue({ piece, skips: false, done });
    return piece;
  }

  /** Output up to these offsets will not come. Returns a piece without bytes for each channel that goes on later than it ended. */
  skipTo(offsets: { out: number; err: number }): LogPiece[] {
    const pieces = ([1, 2] as const)
      .map((channel) => ({ channel, offset: channel === 1 ? offsets.out : offsets.err }))
      .filter(({ channel, offset }) => offset > this.#offsets[channel])
      .map((to) => ({ ...to, timeMs: Date.now(), data: Buffer.alloc(0) }));
    for (const piece of pieces) this.#enqueue({ piece, skips: true, done: () => {} });
    return pieces;
  }

  #enqueue(waiting: Waiting): void {
    const { channel, offset, data } = waiting.piece;
    this.#offsets[channel] = offset + data.length;
    this.#queue.push(waiting);
    void this.#write();
  }

  /**
   * Resolves with true when all that was appended before the call is written: a command that writes without a pause holds nobody up. With false
   * as soon as the disk refuses.
   */
  async flush(): Promise<boolean> {
    const asked = { ...this.#offsets };
    while (this.#written[1] < asked[1] || this.#written[2] < asked[2])
      if (this.#writing === null || !(await this.#batch.promise)) return false;
    return true;
  }

  /** Forgets what the disk has refused: the guest sends it again. */
  async rewind(): Promise<void> {
    while (this.#writing) await this.#writing;
    this.#queue = [];
    Object.assign(this.#offsets, this.#written);
  }

  async close(): Promise<void> {
    this.#retry.stop();
    while (this.#writing) await this.#writing;
    await this.#closeFile();
  }

  /** On disk. */
  async storedBytes(): Promise<number> {
    const sizes = (await segmentsOf(this.#dir)).map((segment) =>
      stat(segmentPath(this.#dir, segment)).then(
        ({ size }) => size,
        () => 0,
      ),
    );
    return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  }

  /** Appended but perhaps not written yet, oldest first. */
  pending(): LogPiece[] {
    return this.#queue.map(({ piece }) => piece);
  }

  get written(): Readonly<Offsets> {
    return this.#written;
  }

  /** What is on disk from these offsets on, in order. What is no longer kept is left out, and a piece's offset tells. */
  async *read(from: Offsets): AsyncGenerator<LogPiece> {
    const position = { ...from };
    const end = { ...this.#written };
    for (const segment of await segmentsOf(this.#dir)) {
      for await (const piece of readSegment(segmentPath(this.#dir, segment))) {
        const pieceEnd = piece.offset + piece.data.length;
        if (pieceEnd <= position[piece.channel]) continue;
        const skip = Math.max(0, position[piece.channel] - piece.offset);
        position[piece.channel] = pieceEnd;
        yield skip === 0 ? piece : { ...piece, offset: piece.offset + skip, data: piece.data.subarray(skip) };
      }
    }
    for (const channel of [1, 2] as const)
      if (position[channel] < end[channel])
        yield { channel, offset: end[channel], timeMs: Date.now(), data: Buffer.alloc(0) };
  }

  /** As `read`, and then what the disk has refused so far. */
  async *readAll(from: Offsets): AsyncGenerator<LogPiece> {
    await this.flush();
    const position = { ...from };
    const pending = this.pending();
    for await (const piece of this.read(from)) {
      position[piece.channel] = piece.offset + piece.data.length;
      yield piece;
    }
    yield* pending.filter(({ channel, offset }) => offset >= position[channel]);
  }

  /** Writes what waits. @returns whether the disk took it all */
  #write(): Promise<boolean> {
    this.#writing ??= this.#drain();
    return this.#writing;
  }

  async #drain(): Promise<boolean> {
    // One turn later, so that all pieces of one chunk from the guest go out in one write.
    await null;
    let isTaken = true;
    while (this.#queue.length > 0 && isTaken) {
      const batch = this.#nextBatch();
      isTaken = await this.#writeBatch(batch).then(
        () => true,
        () => false,
      );
      if (isTaken) {
        this.#queue.splice(0, batch.length);
        for (const { piece, done } of batch) {
          this.#written[piece.channel] = piece.offset + piece.data.length;
          done();
        }
      } else this.#retry.start();
      this.#batch.resolve(isTaken);
      this.#batch = Promise.withResolvers();
    }
    this.#writing = null;
    return isTaken;
  }

  /** Pieces that follow each other. One that skips begins a segment: its head has the offsets. */
  #nextBatch(): Waiting[] {
    const batch = this.#queue.slice(0, MAX_BATCH);
    const next = batch.findIndex(({ skips }, index) => skips && index > 0);
    return next < 0 ? batch : batch.slice(0, next);
  }

  async #writeBatch(batch: readonly Waiting[]): Promise<void> {
    const [first] = batch;
    // A segment is for so many bytes, however many processes it takes: those that come later go on with the last one.
    if (first?.skips ? this.#segmentBytes > 0 : this.#segmentBytes >= this.#limits.segmentBytes)
      await this.#nextSegment();
    this.#file ??= await open(segmentPath(this.#dir, this.#segment), O_WRONLY | O_CREAT, 0o600);
    const buffers: Buffer[] = [];
    if (this.#segmentBytes === 0) {
      const starts = { ...this.#written };
      if (first?.skips) starts[first.piece.channel] = first.piece.offset;
      buffers.push(headOf(starts));
    }
    for (const { piece, skips } of batch) if (!skips) buffers.push(...recordOf(piece));
    const expected = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    try {
      const { bytesWritten } = await this.#file.writev(buffers, this.#segmentBytes);
      if (bytesWritten !== expected)
        throw new Error(`only ${bytesWritten} of ${expected} bytes were written to the log`);
    } catch (error) {
      // What is written next may be shorter than what is left of this.
      await this.#file.truncate(this.#segmentBytes).catch(() => {});
      await this.#closeFile();
      throw error;
    }
    this.#segmentBytes += expected;
  }

  async #closeFile(): Promise<void> {
    await this.#file?.close();
    this.#file = null;
  }

  async #nextSegment(): Promise<void> {
    await this.#closeFile();
    this.#segment += 1;
    this.#segmentBytes = 0;
    const old = (await segmentsOf(this.#dir)).filter(
      (segment) => segment < this.#segment - this.#limits.keep,
    );
    await Promise.all(old.map((segment) => rm(segmentPath(this.#dir, segment), { force: true })));
  }
}

function headOf(starts: Offsets): Buffer {
  const head = Buffer.alloc(SEGMENT_HEADER_BYTES);
  MAGIC.copy(head);
  head.writeBigUInt64LE(BigInt(starts[1]), 8);
  head.writeBigUInt64LE(BigInt(starts[2]), 16);
  return head;
}

function recordOf({ channel, timeMs, data }: LogPiece): Buffer[] {
  const head = Buffer.alloc(RECORD_HEADER_BYTES);
  head[0] = channel;
  head.writeUInt32LE(data.length, 4);
  head.writeBigUInt64LE(BigInt(timeMs), 8);
  return [head, data];
}

function segmentPath(dir: string, segment: number): string {
  return join(dir, `${segment}.log`);
}

async function segmentsOf(dir: string): Promise<number[]> {
  const names = await readdir(dir).catch(() => []);
  return names
    .filter((name) => /^\d+\.log$/.test(name))
    .map((name) => Number.parseInt(name, 10))
    .sort((a, b) => a - b);
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Offsets at the end of a segment; cuts off a record that was not written whole. Null when not even the head was. */
async function recoverEnd(path: string): Promise<{ offsets: Offsets; bytes: number } | null> {
  const bytes = await readFile(path);
  if (bytes.length < SEGMENT_HEADER_BYTES) return null;
  const offsets: Offsets = { 1: Number(bytes.readBigUInt64LE(8)), 2: Number(bytes.readBigUInt64LE(16)) };
  let at = SEGMENT_HEADER_BYTES;
  while (at + RECORD_HEADER_BYTES <= bytes.length) {
    const channel = bytes[at];
    const length = bytes.readUInt32LE(at + 4);
    const next = at + RECORD_HEADER_BYTES + length;
    if ((channel !== 1 && channel !== 2) || length > MAX_RECORD_BYTES || next > bytes.length) break;
    offsets[channel] += length;
    at = next;
  }
  if (at < bytes.length) await truncate(path, at);
  return { offsets, bytes: at };
}

/** Yields nothing of a segment that went meanwhile; one that goes while it is read is read to its end. */
async function* readSegment(path: string): AsyncGenerator<LogPiece> {
  await using file = await openIfThere(path);
  if (file === undefined) return;
  const { size } = await file.stat();
  if (size <= SEGMENT_HEADER_BYTES) return;
  let rest: Buffer = Buffer.alloc(0);
  let offsets: Offsets | null = null;
  const stream = file.createReadStream({ start: 0, end: size - 1, highWaterMark: 1 << 20, autoClose: false });
  for await (const chunk of stream) {
    rest = rest.length > 0 ? Buffer.concat([rest, chunk as Buffer]) : (chunk as Buffer);
    let at = 0;
    if (offsets === null) {
      if (rest.length < SEGMENT_HEADER_BYTES) continue;
      offsets = { 1: Number(rest.readBigUInt64LE(8)), 2: Number(rest.readBigUInt64LE(16)) };
      at = SEGMENT_HEADER_BYTES;
      for (const channel of [1, 2] as const)
        yield { channel, offset: offsets[channel], timeMs: 0, data: Buffer.alloc(0) };
    }
    while (at + RECORD_HEADER_BYTES <= rest.length) {
      const channel = rest[at] as Output;
      const length = rest.readUInt32LE(at + 4);
      if (at + RECORD_HEADER_BYTES + length > rest.length) break;
      const data = rest.subarray(at + RECORD_HEADER_BYTES, at + RECORD_HEADER_BYTES + length);
      yield { channel, offset: offsets[channel], timeMs: Number(rest.readBigUInt64LE(at + 8)), data };
      offsets[channel] += length;
      at += RECORD_HEADER_BYTES + length;
    }
    rest = rest.subarray(at);
  }
}
