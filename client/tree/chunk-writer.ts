const CHUNK_BYTES = 1 << 20;

/** Gathers bytes into chunks of 1 MiB, so that a stream has few and large ones. */
export class ChunkWriter {
  #buffer: Buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  #used = 0;

  /** Bytes there is room for in the current chunk. */
  get room(): number {
    return CHUNK_BYTES - this.#used;
  }

  /** Lets `write` fill the buffer from `at`; it returns where it stopped. */
  put(write: (buffer: Buffer, at: number) => number): void {
    this.#used = write(this.#buffer, this.#used);
  }

  /** The chunk so far; a new one begins. */
  take(): Buffer {
    const chunk = this.#buffer.subarray(0, this.#used);
    this.#buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    this.#used = 0;
    return chunk;
  }

  get empty(): boolean {
    return this.#used === 0;
  }
}
