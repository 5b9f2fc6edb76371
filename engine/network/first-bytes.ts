/** What the first bytes of a connection say about it: which protocol, and which name it is meant for. Pure. */

/** A ClientHello is not longer. */
export const MAX_FIRST_BYTES = 64 * 1024;
/** The first line of an HTTP request and its headers: Node's parser takes no more either. */
const MAX_LINE_BYTES = 16 * 1024;

export type FirstBytes =
  | { kind: "more" }
  /** `name` in lower case; null: it names none. */
  | { kind: "tls"; name: string | null }
  | { kind: "http" }
  | { kind: "http2" }
  | { kind: "other" }
  | { kind: "broken"; why: string };

const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const HOST_NAME_TYPE = 0;

export function firstBytes(seen: Buffer): FirstBytes {
  if (seen.length === 0) return { kind: "more" };
  if (seen[0] === HANDSHAKE_RECORD) return tls(seen);
  return httpOrOther(seen);
}

/** Empty lines and spaces before a request are skipped, as some servers do. What any server may take for a request is one. */
function httpOrOther(seen: Buffer): FirstBytes {
  const text = seen.toString("latin1", 0, MAX_LINE_BYTES).replace(/^\s+/, "");
  // Requests begin with a method; nothing else that is text and waits for an answer has HTTP/ in its first line.
  if (text !== "" && !/^[!#$%&'*+.^_`|~0-9A-Za-z-]/.test(text)) return { kind: "other" };
  // A method, a space or the like: without them it is no request, however long its first line is.
  if (/^\S{33}/.test(text)) return { kind: "other" };
  // Letters and a space begin a request, whatever bytes come before the end of the line.
  const begins = /^[A-Za-z_-]+\s/.test(text);
  const end = text.indexOf("\n");
  if (end < 0) {
    if (!begins && /[^\s\x20-\x7e]/.test(text)) return { kind: "other" };
    return seen.length >= MAX_LINE_BYTES
      ? { kind: "broken", why: "a first line that is too long" }
      : { kind: "more" };
  }
  const line = text.slice(0, end);
  if (/^PRI \* HTTP\/2/i.test(line)) return { kind: "http2" };
  if (!/HTTP\//i.test(line)) return { kind: "other" };
  if (/\n\r?\n/.test(text)) return { kind: "http" };
  return seen.length >= MAX_LINE_BYTES
    ? { kind: "broken", why: "headers that are too long" }
    : { kind: "more" };
}

/** RFC 8446, 5.1 and 4.1.2; RFC 6066, 3. A hello may be spread over records. */
function tls(seen: Buffer): FirstBytes {
  const parts: Buffer[] = [];
  let at = 0;
  let have = 0;
  let need = 4;
  while (have < need) {
    if (seen.length < at + 5)
      return seen.length >= MAX_FIRST_BYTES
        ? tooLong
        : isRecord(seen, at)
          ? { kind: "more" }
          : { kind: "other" };
    if (!isRecord(seen, at))
      return at === 0 ? { kind: "other" } : broken("a ClientHello that is cut by another record");
    const length = seen.readUInt16BE(at + 3);
    if (length === 0) return broken("an empty record");
    const part = seen.subarray(at + 5, at + 5 + length);
    parts.push(part);
    have += part.length;
    at += 5 + length;
    const start = Buffer.concat(parts).subarray(0, 4);
    if (start.length > 0 && start[0] !== CLIENT_HELLO)
      return broken("a TLS connection that does not begin with a ClientHello");
    if (start.length === 4) need = 4 + start.readUIntBE(1, 3);
    if (need > MAX_FIRST_BYTES) return tooLong;
    if (part.length < length && have < need)
      return seen.length >= MAX_FIRST_BYTES ? tooLong : { kind: "more" };
  }
  try {
    return { kind: "tls", name: serverName(new Reader(Buffer.concat(parts).subarray(4, need))) };
  } catch {
    return broken("a ClientHello that can't be read");
  }
}

const tooLong: FirstBytes = { kind: "broken", why: "a ClientHello that is too long" };

function broken(why: string): FirstBytes {
  return { kind: "broken", why };
}

/** A handshake record of any version of TLS, as far as its header is there. */
function isRecord(seen: Buffer, at: number): boolean {
  return (seen[at] ?? HANDSHAKE_RECORD) === HANDSHAKE_RECORD && (seen[at + 1] ?? 3) === 3;
}

/** Throws a RangeError when lengths don't fit. */
function serverName(hello: Reader): string | null {
  hello.skip(2 + 32);
  hello.take(hello.number(1));
  hello.take(hello.number(2));
  hello.take(hello.number(1));
  if (hello.isEmpty) return null;
  const extensions = new Reader(hello.take(hello.number(2)));
  let found: string | null = null;
  while (!extensions.isEmpty) {
    const kind = extensions.number(2);
    const body = new Reader(extensions.take(extensions.number(2)));
    if (kind !== SERVER_NAME) continue;
    if (found !== null) throw new RangeError("two lists of names");
    const names = new Reader(body.take(body.number(2)));
    while (!names.isEmpty) {
      const type = names.number(1);
      const name = names.take(names.number(2)).toString("latin1").toLowerCase();
      if (type !== HOST_NAME_TYPE || found !== null) throw new RangeError("more than one name");
      found = name;
    }
  }
  return found;
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isEmpty(): boolean {
    return this.#at >= this.#bytes.length;
  }

  number(bytes: 1 | 2): number {
    return this.take(bytes).readUIntBE(0, bytes);
  }

  skip(count: number): void {
    this.take(count);
  }

  take(count: number): Buffer {
    if (this.#at + count > this.#bytes.length) throw new RangeError("past the end");
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }
}
