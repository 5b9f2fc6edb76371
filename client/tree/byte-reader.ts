import { treeFault } from "./format.ts";

const NONE = Buffer.alloc(0);

/** Reads exact numbers of bytes from chunks of any size. Copies only what lies across chunks. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunk: Buffer = NONE;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Exactly `count` bytes at once if they are here already; undefined otherwise. Saves a turn of the event loop per small record. */
  take(count: number): Buffer | undefined {
    if (this.#chunk.length < count) return undefined;
    const bytes = this.#chunk.subarray(0, count);
    this.#chunk = this.#chunk.subarray(count);
    return bytes;
  }

  /** Exactly `count` bytes, which have to be few: they are held in memory. @throws ThawError when the stream ends first. */
  async read(count: number): Promise<Buffer> {
    const here = this.take(count);
    if (here !== undefined) return here;
    const parts = [this.#chunk];
    let have = this.#chunk.length;
    this.#chunk = NONE;
    while (have < count) {
      const chunk = await this.#next();
      if (chunk === undefined) throw treeFault("it ends in the middle of a record");
      const wanted = chunk.subarray(0, count - have);
      parts.push(wanted);
      have += wanted.length;
      this.#chunk = chunk.subarray(wanted.length);
    }
    return Buffer.concat(parts, count);
  }

  /** Between 1 and `limit` bytes, as they come, not copied. @throws ThawError when the stream ends. */
  async readSome(limit: number): Promise<Buffer> {
    while (this.#chunk.length === 0) {
      const chunk = await this.#next();
      if (chunk === undefined) throw treeFault("it ends in the middle of a file");
      this.#chunk = chunk;
    }
    return this.take(Math.min(limit, this.#chunk.length)) as Buffer;
  }

  /** @throws ThawError when there is anything left. */
  async expectEnd(): Promise<void> {
    if (this.#chunk.length > 0 || (await this.#next()) !== undefined) throw treeFault("bytes after its end");
  }

  /** Lets the source go. */
  async close(): Promise<void> {
    await this.#source.return?.();
  }

  async #next(): Promise<Buffer | undefined> {
    for (;;) {
      const { done, value } = await this.#source.next();
      if (done === true) return undefined;
      if (value.length > 0) return Buffer.from(value.buffer, value.byteOffset, value.length);
    }
  }
}
