/** Which page of the guest's memory lies where in a file of pages, read as it comes (its format: runners/native/src/pages.rs). */

export const PAGE_BYTES = 4096;
const HEADER_BYTES = 32;
const MAGIC = "thawpgs1";
const RUN_BYTES = 16;
/** What is longer is not an index that we made. */
const MAX_INDEX_BYTES = 64 << 20;

export class PageIndex {
  #offset = 0;
  #header: Buffer = Buffer.alloc(0);
  #indexAt = Number.POSITIVE_INFINITY;
  readonly #index: Buffer[] = [];
  #indexBytes = 0;

  take(chunk: Buffer): void {
    if (this.#header.length < HEADER_BYTES) {
      this.#header = Buffer.concat([this.#header, chunk.subarray(0, HEADER_BYTES - this.#header.length)]);
      if (this.#header.length === HEADER_BYTES && this.#header.toString("latin1", 0, 8) === MAGIC)
        this.#indexAt = Number(this.#header.readBigUInt64LE(16));
    }
    const end = this.#offset + chunk.length;
    if (end > this.#indexAt && this.#indexBytes < MAX_INDEX_BYTES) {
      const piece = Buffer.from(chunk.subarray(Math.max(0, this.#indexAt - this.#offset)));
      this.#index.push(piece);
      this.#indexBytes += piece.length;
    }
    this.#offset = end;
  }

  /** Number of the guest's physical page whose content is at `offset` of the file. Call it when all has come. */
  pageAt(offset: number): number | undefined {
    const index = Buffer.concat(this.#index);
    let dataAt = PAGE_BYTES;
    for (let at = 0; at + RUN_BYTES <= index.length; at += RUN_BYTES) {
      if (index.readUInt32LE(at + 12) === 1) continue;
      const bytes = index.readUInt32LE(at + 8) * PAGE_BYTES;
      if (offset >= dataAt && offset < dataAt + bytes)
        return Number(index.readBigUInt64LE(at)) + Math.floor((offset - dataAt) / PAGE_BYTES);
      dataAt += bytes;
    }
    return undefined;
  }
}
