/** An exec's output as a reader pulls it: a slow one costs neither memory nor the exec's time, it reads from disk what it is behind. */
import type { Exec } from "./exec.ts";
import type { LogPiece, Output } from "./log.ts";
import { endOf, type Position } from "./positions.ts";
import type { Reader } from "./subscriber.ts";

export type Followed = LogPiece | { droppedUntil: number; channel: Output };

/** Held for a reader; beyond it, what comes is read from disk again later. */
const MAX_HELD_BYTES = 1 << 20;
const PIECE_BYTES = 256;
/** A line whose beginning is lost is left out up to this length. */
const MAX_BROKEN_LINE_BYTES = 64 << 10;
const NEWLINE = 0x0a;

class Queue implements Reader {
  #items: Followed[] = [];
  #bytes = 0;
  #wakeReader = (): void => {};
  #wakeWriter: (() => void)[] = [];
  /** More came than is held: from here on the log has it. */
  overflown = false;

  output(piece: LogPiece): void {
    if (this.overflown) return;
    this.#push(piece, piece.data.length + PIECE_BYTES);
  }

  dropped(channel: Output, offset: number): void {
    if (!this.overflown) this.#push({ droppedUntil: offset, channel }, PIECE_BYTES);
  }

  lag(): number {
    return 0;
  }

  async room(): Promise<void> {
    while (this.#bytes > MAX_HELD_BYTES) await new Promise<void>((resolve) => this.#wakeWriter.push(resolve));
  }

  /** What has come; waits until something has, or `wake` is called. */
  async take(): Promise<Followed[]> {
    if (this.#items.length === 0) await new Promise<void>((resolve) => (this.#wakeReader = resolve));
    return this.takeNow();
  }

  takeNow(): Followed[] {
    const items = this.#items;
    this.#items = [];
    this.#bytes = 0;
    for (const wake of this.#wakeWriter.splice(0)) wake();
    return items;
  }

  wake(): void {
    this.#wakeReader();
  }

  /** Lets a catching-up subscriber end. */
  release(): void {
    this.#bytes = 0;
    for (const wake of this.#wakeWriter.splice(0)) wake();
  }

  #push(item: Followed, bytes: number): void {
    // While catching up, `room` paces; live, one piece may pass the limit and the next is refused.
    if (this.#bytes > MAX_HELD_BYTES) {
      this.overflown = true;
      return;
    }
    this.#items.push(item);
    this.#bytes += bytes;
    this.#wakeReader();
  }
}

/** One channel behind a gap: the rest of the line that was cut belongs to the gap. */
class Gap {
  readonly #channel: Output;
  #until: number;
  #skipped = 0;

  constructor(channel: Output, until: number) {
    this.#channel = channel;
    this.#until = until;
  }

  /** The gap's end and what follows it; null while the cut line goes on. */
  close(piece: LogPiece): Followed[] | null {
    const newline = piece.data.indexOf(NEWLINE);
    const length = newline < 0 ? piece.data.length : newline + 1;
    this.#skipped += length;
    if (this.#skipped > MAX_BROKEN_LINE_BYTES) return [this.notice, piece];
    this.#until = piece.offset + length;
    if (newline < 0) return null;
    const rest = { ...piece, offset: this.#until, data: piece.data.subarray(length) };
    return rest.data.length === 0 ? [this.notice] : [this.notice, rest];
  }

  get notice(): Followed {
    return { droppedUntil: this.#until, channel: this.#channel };
  }
}

/**
 * As {@link readOutput}, but after a gap output begins at the start of a line.
 */
export async function* followExec(
  exec: Exec,
  options: { from: Position; follow: boolean; until?: Position; signal: AbortSignal },
): AsyncGenerator<Followed, void> {
  const gaps = new Map<Output, Gap>();
  for await (const item of readOutput(exec, options)) {
    const { channel } = item;
    if (!("data" in item)) {
      gaps.set(channel, new Gap(channel, item.droppedUntil));
      continue;
    }
    const gap = gaps.get(channel);
    const shown = gap === undefined ? [item] : gap.close(item);
    if (shown === null) continue;
    gaps.delete(channel);
    yield* shown;
  }
  for (const gap of gaps.values()) yield gap.notice;
}

/**
 * Yields output from `from` on: with `follow`, until the exec has ended, else what was there at the call, or before `until`. Each byte once;
 * what is no longer kept is said.
 */
async function* readOutput(
  exec: Exec,
  options: { from: Position; follow: boolean; until?: Position; signal: AbortSignal },
): AsyncGenerator<Followed, void> {
  const { follow, signal } = options;
  const until = follow ? { out: Infinity, err: Infinity } : (options.until ?? endOf(exec.log));
  const position = { ...options.from };
  for (let again = true; again && !signal.aborted; ) {
    const queue = new Queue();
    const { stop, ready } = exec.subscribe(queue, position);
    let over = false;
    let failure: unknown;
    const enough = ready.then(() => (follow ? exec.ended(signal) : undefined));
    enough
      .catch((error: unknown) => {
        failure = error;
      })
      .finally(() => {
        over = true;
        queue.wake();
      });
    const abort = (): void => queue.wake();
    signal.addEventListener("abort", abort);
    try {
      while (!signal.aborted) {
        const items = over || queue.overflown ? queue.takeNow() : await queue.take();
        for (const item of items) {
          const of = item.channel === 1 ? "out" : "err";
          const shown = cutAt(item, until[of]);
          position[of] = "data" in item ? item.offset + item.data.length : item.droppedUntil;
          if (shown !== null) yield shown;
        }
        if (position.out >= until.out && position.err >= until.err) return;
        if (items.length === 0 && (over || queue.overflown)) break;
      }
      if (failure !== undefined && !signal.aborted) throw failure;
      again = queue.overflown;
    } finally {
      signal.removeEventListener("abort", abort);
      stop();
      queue.release();
    }
  }
}

/** The part of a piece before an offset; null when there is none. */
function cutAt(item: Followed, until: number): Followed | null {
  if (!("data" in item)) return item;
  const room = until - item.offset;
  if (room <= 0 && item.data.length > 0) return null;
  return item.data.length <= room ? item : { ...item, data: item.data.subarray(0, room) };
}
