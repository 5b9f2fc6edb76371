/**
 * Questions to the terminal: device attributes and status, its version, modes, window, keyboard and colours. Asked again by a replay, the
 * terminal would answer again, and the answers be typed into the guest.
 */
const QUESTIONS = new RegExp(
  [
    "\\x05",
    "\\x1bZ",
    "\\x1b\\[[>=?]?[\\d;]*c",
    "\\x1b\\[\\??[\\d;]*n",
    "\\x1b\\[>[\\d;]*q",
    "\\x1b\\[\\??[\\d;]*\\$p",
    "\\x1b\\[(?:1[1-9]|2[01])(?:;\\d+)*t",
    "\\x1b\\[\\?u",
    "\\x1b\\](?:\\d+;)+\\?(?:\\x07|\\x1b\\\\)",
    "\\x1bP[+$]q[^\\x1b\\x07]*(?:\\x07|\\x1b\\\\)",
  ].join("|"),
  "g",
);
// biome-ignore lint/suspicious/noControlCharactersInRegex: terminals speak in these
const UNFINISHED = /\x1b(?:[[\]P][^a-zA-Z\x07\x1b]{0,64})?$/;

/** Takes the questions out of the first `bytes` of output; what follows passes as it is. */
export class ReplayFilter {
  #left: number;
  #rest = "";

  constructor(bytes: number) {
    this.#left = bytes;
  }

  take(chunk: Buffer): Buffer {
    if (this.#left <= 0) return chunk;
    const old = chunk.subarray(0, this.#left);
    this.#left -= old.length;
    let text = this.#rest + old.toString("latin1");
    this.#rest = this.#left > 0 ? (UNFINISHED.exec(text)?.[0] ?? "") : "";
    text = text.slice(0, text.length - this.#rest.length).replace(QUESTIONS, "");
    return Buffer.concat([Buffer.from(text, "latin1"), chunk.subarray(old.length)]);
  }
}
