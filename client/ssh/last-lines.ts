const MAX_LINES = 12;
const MAX_LINE_LENGTH = 300;
const MAX_BYTES = 64 * 1024;

/** Keeps the last lines of what a program says, without control characters and of bounded length. */
export class LastLines {
  #text = "";

  push(chunk: Uint8Array): void {
    this.#text = (this.#text + Buffer.from(chunk).toString("utf8")).slice(-MAX_BYTES);
  }

  get lines(): string[] {
    return this.#text
      .split(/[\r\n]+/)
      .map((line) => line.replace(/[\p{Cc}\p{Bidi_Control}]/gu, "").slice(0, MAX_LINE_LENGTH))
      .filter((line) => line.trim() !== "")
      .slice(-MAX_LINES);
  }
}
