/** One reader of an exec's output: first what is kept, then what comes, without a gap or a repeat. */
import type { ExecLog, LogPiece, Output } from "./log.ts";

export interface Reader {
  /** Takes a piece; must not keep the bytes beyond what it copies or sends. */
  output(piece: LogPiece): void;
  /** Output before `offset` is gone. */
  dropped(channel: Output, offset: number): void;
  /** Bytes sent and not dealt with, beyond which the exec waits for this reader; 0 never waits. */
  lag(): number;
  /** Resolves when there is room again; used while catching up. */
  room(): Promise<void>;
}

export class Subscriber {
  readonly reader: Reader;
  readonly #log: ExecLog;
  readonly #position: Record<Output, number>;
  #live = false;
  #gone = false;

  /**
   * @param from may lie beyond the log's end. An earlier daemon was then killed after it had sent output and before it had written it: the
   *   guest sends that output again, and this reader skips it
   */
  constructor(log: ExecLog, reader: Reader, from: { out: number; err: number }) {
    this.#log = log;
    this.reader = reader;
    this.#position = { 1: from.out, 2: from.err };
  }

  /** Reads what is kept; resolves once the reader gets everything as it comes. */
  async catchUp(): Promise<void> {
    while (!this.#live && !this.#gone) {
      const { written } = this.#log;
      if (this.#position[1] >= written[1] && this.#position[2] >= written[2]) {
        for (const piece of this.#log.pending()) this.#deliver(piece);
        this.#live = true;
        return;
      }
      for await (const piece of this.#log.read(this.#position)) {
        if (this.#gone) return;
        this.#deliver(piece);
        await this.reader.room();
      }
    }
  }

  /** A piece that just came from the guest. */
  take(piece: LogPiece): void {
    if (this.#live) this.#deliver(piece);
  }

  stop(): void {
    this.#gone = true;
  }

  #deliver(piece: LogPiece): void {
    const { channel, offset, data } = piece;
    const behind = this.#position[channel] - offset;
    if (behind < 0) this.reader.dropped(channel, offset);
    const skip = Math.max(0, behind);
    if (skip > data.length) return;
    this.#position[channel] = offset + data.length;
    if (skip < data.length)
      this.reader.output(skip === 0 ? piece : { ...piece, offset: offset + skip, data: data.subarray(skip) });
  }
}
