/** Finds sealed values in bytes and in text. */
import { type SealedPattern, type SealedSecrets, sealedDigest, wholeHash } from "./sealed.ts";
import { nextCandidate, type WindowTable, windowHash, windowTable } from "./window.ts";

/** What stands for a secret in text. */
const HIDDEN = "***";

export interface Match {
  /** Of the variable. */
  name: string;
  start: number;
  end: number;
}

export class SecretMatcher {
  /** Bytes. */
  readonly longest: number;
  readonly #secrets: SealedSecrets;
  readonly #table: WindowTable;
  /** Longest first. */
  readonly #byWindow = new Map<number, SealedPattern[]>();

  private constructor(secrets: SealedSecrets) {
    this.#secrets = secrets;
    for (const pattern of [...secrets.patterns].sort((a, b) => b.bytes - a.bytes))
      this.#byWindow.set(pattern.window, [...(this.#byWindow.get(pattern.window) ?? []), pattern]);
    this.#table = windowTable(this.#byWindow.keys(), secrets.multiplier);
    this.longest = Math.max(...secrets.patterns.map(({ bytes }) => bytes));
  }

  /** null when there is nothing to find. */
  static of(secrets: SealedSecrets | null): SecretMatcher | null {
    return secrets === null || secrets.patterns.length === 0 ? null : new SecretMatcher(secrets);
  }

  /** Where something may begin, from `from` on; -1: nowhere that can be told. */
  next(bytes: Uint8Array, from: number): number {
    return nextCandidate(bytes, from, this.#table);
  }

  /** What begins at a candidate. `open`: more bytes may make it one, or a longer one. */
  at(bytes: Uint8Array, start: number): { match: Match | null; open: boolean } {
    const { multiplier, salt } = this.#secrets;
    let open = false;
    for (const pattern of this.#byWindow.get(windowHash(bytes, start, multiplier)) ?? []) {
      const end = start + pattern.bytes;
      if (end > bytes.length) open = true;
      else if (
        wholeHash(bytes, start, end, multiplier) === pattern.hash &&
        sealedDigest(salt, bytes.subarray(start, end)) === pattern.digest
      )
        return { match: { name: pattern.name, start, end }, open };
    }
    return { match: null, open };
  }

  /** All that lie whole in `bytes`, from the left, none within another. */
  *find(bytes: Uint8Array): Generator<Match> {
    for (let at = this.next(bytes, 0); at >= 0; ) {
      const { match } = this.at(bytes, at);
      if (match) yield match;
      at = this.next(bytes, match?.end ?? at + 1);
    }
  }

  /** The text with `***` for each value. */
  hide(text: string): string {
    const bytes = Buffer.from(text);
    const pieces: string[] = [];
    let from = 0;
    for (const { start, end } of this.find(bytes)) {
      pieces.push(bytes.toString("utf8", from, start), HIDDEN);
      from = end;
    }
    return from === 0 ? text : [...pieces, bytes.toString("utf8", from)].join("");
  }
}
