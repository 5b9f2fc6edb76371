/** Permits to look at one port of one sandbox until a time, signed with this host's key: in a link, and then in a cookie. */
import { createHmac, timingSafeEqual } from "node:crypto";

export interface Permit {
  /** Id of the sandbox: another one of the same name is another sandbox. */
  sandbox: string;
  port: number;
  /** ms since the epoch. */
  issued: number;
  until: number;
}

/** A permit of one use is none of the other. */
export type Use = "link" | "cookie";

const MAX_CHARS = 200;

export class Tickets {
  readonly #key: Buffer;

  /** @param key at least 32 bytes */
  constructor(key: Buffer) {
    this.#key = key;
  }

  /** Letters, digits, `-`, `_` and `.`. */
  sign(use: Use, { sandbox, port, issued, until }: Permit): string {
    const text = [sandbox, port, issued, until].join(".");
    return `${text}.${this.#mac(use, text)}`;
  }

  /** null: it was not signed here, or is for something else, or not good any more. */
  read(use: Use, ticket: string, now: number): Permit | null {
    if (ticket.length > MAX_CHARS) return null;
    const end = ticket.lastIndexOf(".");
    const text = ticket.slice(0, Math.max(end, 0));
    const [given, right] = [Buffer.from(ticket.slice(end + 1)), Buffer.from(this.#mac(use, text))];
    if (given.length !== right.length || !timingSafeEqual(given, right)) return null;
    const [sandbox = "", port, issued, until] = text.split(".");
    const permit = { sandbox, port: Number(port), issued: Number(issued), until: Number(until) };
    return permit.until > now ? permit : null;
  }

  /** A name for the cookies of one port of one sandbox that no page of another can guess. */
  tag(sandbox: string, port: number): string {
    return this.#mac("tag", `${sandbox}.${port}`).slice(0, 16);
  }

  #mac(use: Use | "tag", text: string): string {
    return createHmac("sha256", this.#key).update(`${use}\n${text}`).digest("base64url");
  }
}
