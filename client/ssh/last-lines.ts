const maxLines = 12;
const maxLineLength = 300;
const maxBytes = 64 * 1024;

/** Keeps the last lines of what a program says, without control characters and of bounded length. */
export class LastLines {
  #text = "";

  push(chunk: Uint8Array): void {
    this.#text = (this.#text + Buffer.from(chunk).toString("utf8")).slice(-maxBytes);
  }

  get lines(): string[] {
    return this.#text
      .split(/[\r\n]+/)
      .map((line) => line.replace(/[\p{Cc}\p{Bidi_Control}]/gu, "").slice(0, maxLineLength))
      .filter((line) => line.trim() !== "")
      .slice(-maxLines);
  }
}
