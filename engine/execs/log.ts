/**
 * An exec's output on disk: both channels in the order they came, with the time, in segments of which the oldest go when there are too many.
 * Survives the daemon: what was appended and written is found again by offset, a half-written last record is cut off.
 *
 * Segment: `THAWLOG1`, u64 offset of out, u64 offset of err at its start; then records: u8 channel, 3 × 0, u32 length, u64 time in ms, bytes.
 * Little-endian.
 */
import { type FileHandle, mkdir, open, readdir, readFile, rm, stat, truncate } from "node:fs/promises";
import { join } from "node:path";

export type Output = 1 | 2;

export interface LogPiece {
  channel: Output;
  /** Offset of the first byte within its channel. */
  offset: number;
  timeMs: number;
  data: Buffer;
}

const MAGIC = Buffer.from("THAWLOG1");
const SEGMENT_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const MAX_RECORD_BYTES = 1 << 20;

export interface LogLimits {
  segmentBytes: number;
  /** Full segments kept besides the one being written. */
  keep: number;
}
export const DEFAULT_LIMITS: LogLimits = { segmentBytes: 8 << 20, keep: 2 };

type Offsets = Record<Output, number>;

export class ExecLog {
  readonly #dir: string;
  readonly #limits: LogLimits;
  #file: FileHandle | null = null;
  #segment = 0;
  #segmentBytes = 0;
  /** What was appended, written or not. */
  readonly #offsets: Offsets;
  readonly #written: Offsets;
  #queue: { piece: LogPiece; done: () => void }[] = [];
  #writing: Promise<void> | null = null;
  /** Wakes whoever waits for the next batch to be written. */
  #batch = Promise.withResolvers<void>();
  #failure: Error | null = null;

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
  /** Set once when the disk refused; nothing is kept from then on. */
  get failure(): Error | null {
    return this.#failure;
  }

  /** Takes a copy-free view: `data` must not change after. `done` is called when it is on disk (or the disk refused). */
  append(channel: Output, data: Buffer, done: () => void): LogPiece {
    const piece = { channel, offset: this.#offsets[channel], timeMs: Date.now(), data };
    this.#offsets[channel] += data.length;
    this.#queue.push({ piece, done });
    this.#writing ??= this.#drain();
    return piece;
  }

  /** Resolves when all that was appended before the call is written: a command that writes without a pause holds nobody up. */
  async flush(): Promise<void> {
    const asked = { ...this.#offsets };
    while (this.#written[1] < asked[1] || this.#written[2] < asked[2]) await this.#batch.promise;
  }

  async close(): Promise<void> {
    while (this.#writing) await this.#writing;
    await this.#file?.close();
    this.#file = null;
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

  /** What is on disk from these offsets on, in order. The first piece's offset tells when earlier ones are no longer kept. */
  async *read(from: Offsets): AsyncGenerator<LogPiece> {
    const position = { ...from };
    for (const segment of await segmentsOf(this.#dir)) {
      for await (const piece of readSegment(segmentPath(this.#dir, segment))) {
        const end = piece.offset + piece.data.length;
        if (end <= position[piece.channel]) continue;
        const skip = Math.max(0, position[piece.channel] - piece.offset);
        position[piece.channel] = end;
        yield skip === 0 ? piece : { ...piece, offset: piece.offset + skip, data: piece.data.subarray(skip) };
      }
    }
  }

  async #drain(): Promise<void> {
    // One turn later, so that all pieces of one chunk from the guest go out in one write.
    await null;
    while (this.#queue.length > 0) {
      const batch = this.#queue.slice(0, 256);
      try {
        if (!this.#failure) await this.#write(batch.map(({ piece }) => piece));
      } catch (error) {
        this.#failure = error as Error;
      }
      this.#queue.splice(0, batch.length);
      for (const { piece, done } of batch) {
        this.#written[piece.channel] = piece.offset + piece.data.length;
        done();
      }
      this.#batch.resolve();
      this.#batch = Promise.withResolvers();
    }
    this.#writing = null;
  }

  async #write(pieces: LogPiece[]): Promise<void> {
    const first = pieces[0];
    if (!first) return;
    // A segment is for so many bytes, however many processes it takes: those that come later go on with the last one.
    if (this.#segmentBytes >= this.#limits.segmentBytes) await this.#nextSegment();
    this.#file ??= await this.#openSegment();
    const buffers: Buffer[] = [];
    for (const { channel, timeMs, data } of pieces) {
      const head = Buffer.alloc(RECORD_HEADER_BYTES);
      head[0] = channel;
      head.writeUInt32LE(data.length, 4);
      head.writeBigUInt64LE(BigInt(timeMs), 8);
      buffers.push(head, data);
    }
    const { bytesWritten } = (await this.#file?.writev(buffers)) ?? { bytesWritten: 0 };
    const expected = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    if (bytesWritten !== expected)
      throw new Error(`only ${bytesWritten} of ${expected} bytes were written to the log`);
    this.#segmentBytes += bytesWritten;
  }

  async #openSegment(): Promise<FileHandle> {
    const file = await open(segmentPath(this.#dir, this.#segment), "a", 0o600);
    if (this.#segmentBytes > 0) return file;
    const head = Buffer.alloc(SEGMENT_HEADER_BYTES);
    MAGIC.copy(head);
    head.writeBigUInt64LE(BigInt(this.#written[1]), 8);
    head.writeBigUInt64LE(BigInt(this.#written[2]), 16);
    await file.write(head);
    this.#segmentBytes = SEGMENT_HEADER_BYTES;
    return file;
  }

  async #nextSegment(): Promise<void> {
    await this.#file?.close();
    this.#file = null;
    this.#segment += 1;
    this.#segmentBytes = 0;
    const old = (await segmentsOf(this.#dir)).filter(
      (segment) => segment < this.#segment - this.#limits.keep,
    );
    await Promise.all(old.map((segment) => rm(segmentPath(this.#dir, segment), { force: true })));
  }
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
