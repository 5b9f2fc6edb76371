/**
 * Covers secret values in a stream of output, byte for byte, so that offsets stay true. What may be the beginning of one is held back until
 * more comes: a moment for a few bytes that could be anything, longer where they fit. What was let go before it could be told shows; the rest
 * of the value is covered all the same.
 */
import type { SecretMatcher } from "./matcher.ts";
import { WINDOW_BYTES } from "./window.ts";

const MOMENT_MS = 50;
const FITTING_MS = 2000;
const COVER = 0x2a;
const NEWLINE = 0x0a;

export type Channel = 1 | 2;

interface Held {
  /** From the first byte on of which it can't be told yet whether a value begins there. */
  raw: Buffer;
  /** The same bytes with values covered. */
  shown: Buffer;
  /** How many of them were let go. */
  sent: number;
  timer: NodeJS.Timeout | undefined;
}

export class Mask {
  readonly #matcher: SecretMatcher;
  readonly #emit: (channel: Channel, piece: Buffer) => void;
  readonly #held: Record<Channel, Held> = { 1: nothing(), 2: nothing() };

  constructor(matcher: SecretMatcher, emit: (channel: Channel, piece: Buffer) => void) {
    this.#matcher = matcher;
    this.#emit = emit;
  }

  take(channel: Channel, piece: Buffer): void {
    const held = this.#held[channel];
    const raw = Buffer.concat([held.raw, piece]);
    const shown = Buffer.concat([held.shown, piece]);
    const { open, fits } = this.#cover(raw, shown);
    if (open > held.sent) this.#emit(channel, shown.subarray(held.sent, open));
    held.raw = raw.subarray(open);
    held.shown = shown.subarray(open);
    held.sent = Math.max(0, held.sent - open);
    clearTimeout(held.timer);
    held.timer =
      held.shown.length > held.sent
        ? setTimeout(() => this.#letGo(channel), fits ? FITTING_MS : MOMENT_MS)
        : undefined;
  }

  /** No more comes. */
  flush(): void {
    for (const channel of [1, 2] as const) {
      this.#letGo(channel);
      this.#held[channel] = nothing();
    }
  }

  /** What is held will come again. */
  reset(): void {
    for (const channel of [1, 2] as const) {
      clearTimeout(this.#held[channel].timer);
      this.#held[channel] = nothing();
    }
  }

  /** @returns from where on it can't be told, and whether what stands there fits as far as it goes. */
  #cover(raw: Buffer, shown: Buffer): { open: number; fits: boolean } {
    let firstOpen = -1;
    for (let at = this.#matcher.next(raw, 0); at >= 0; at = this.#matcher.next(raw, at + 1)) {
      const { match, open } = this.#matcher.at(raw, at);
      if (open && firstOpen < 0) firstOpen = at;
      if (!match) continue;
      for (let byte = match.start; byte < match.end; byte++) if (raw[byte] !== NEWLINE) shown[byte] = COVER;
    }
    const tail = Math.max(0, raw.length - (WINDOW_BYTES - 1));
    return firstOpen >= 0 ? { open: firstOpen, fits: true } : { open: tail, fits: false };
  }

  #letGo(channel: Channel): void {
    const held = this.#held[channel];
    clearTimeout(held.timer);
    if (held.shown.length > held.sent) this.#emit(channel, held.shown.subarray(held.sent));
    held.sent = held.shown.length;
  }
}

function nothing(): Held {
  return { raw: Buffer.alloc(0), shown: Buffer.alloc(0), sent: 0, timer: undefined };
}
