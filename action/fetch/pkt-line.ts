/** Git's pkt-lines, gitprotocol-common(5): four hex digits of length, then the data. A server writes them, so each is checked. */
import { ThawError } from "../../client/index.ts";

/** `flush` and `delimiter` are lines without data. */
export type Packet = Buffer | "flush" | "delimiter";

/** git sends no longer ones. */
const MAX_LINE_BYTES = 65_520;

export const FLUSH = "0000";
export const DELIMITER = "0001";

/** A line of text as a packet. */
export function encodeLine(text: string): string {
  const length = Buffer.byteLength(text) + 5;
  return `${length.toString(16).padStart(4, "0")}${text}\n`;
}

/** A packet's text without its line end. */
export function textOf(packet: Buffer): string {
  return packet.toString("utf8").replace(/\n$/, "");
}

function notGit(what: string): ThawError {
  return new ThawError("store-corrupt", `invalid git response: ${what}`);
}

/** Packets of a stream; holds one at most. @throws ThawError `store-corrupt` for what is none, and for a stream that ends within one */
export async function* readPackets(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Packet, void> {
  let rest = Buffer.alloc(0);
  for await (const chunk of chunks) {
    let bytes = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    while (bytes.length >= 4) {
      const digits = bytes.toString("latin1", 0, 4);
      const length = /^[0-9a-fA-F]{4}$/.test(digits) ? Number.parseInt(digits, 16) : -1;
      if (length === 0 || length === 1) {
        yield length === 0 ? "flush" : "delimiter";
        bytes = bytes.subarray(4);
        continue;
      }
      if (length < 4 || length > MAX_LINE_BYTES) throw notGit("a line with an invalid length");
      if (bytes.length < length) break;
      yield bytes.subarray(4, length);
      bytes = bytes.subarray(length);
    }
    rest = bytes;
  }
  if (rest.length > 0) throw notGit("it ends in the middle of a line");
}
