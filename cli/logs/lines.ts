import { StringDecoder } from "node:string_decoder";

/** A line of output, without its end. */
export interface LogLine {
  time: Date;
  text: string;
}

/** A line that does not end is cut here. */
const MAX_LINE_CHARS = 65_536;

/** Puts one channel's chunks together to lines; a line's time is that of its first byte. */
export class LineAssembler {
  readonly #decoder = new StringDecoder("utf8");
  #rest = "";
  #time: Date | undefined;

  /** The lines that end with this chunk. */
  push(data: Uint8Array, time: Date): LogLine[] {
    const parts = this.#decoder.write(data).split("\n");
    const lines: LogLine[] = [];
    for (const [index, part] of parts.entries()) {
      const ends = index < parts.length - 1;
      if (part !== "" || ends) this.#time ??= time;
      this.#rest += part;
      while (this.#rest.length > MAX_LINE_CHARS) {
        lines.push({ time: this.#time ?? time, text: this.#rest.slice(0, MAX_LINE_CHARS) });
        this.#rest = this.#rest.slice(MAX_LINE_CHARS);
      }
      if (ends) lines.push(this.#take(time));
    }
    return lines;
  }

  /** What is left when nothing more comes. */
  end(): LogLine[] {
    this.#rest += this.#decoder.end();
    return this.#rest === "" ? [] : [this.#take(new Date())];
  }

  #take(time: Date): LogLine {
    const line = { time: this.#time ?? time, text: this.#rest };
    this.#rest = "";
    this.#time = undefined;
    return line;
  }
}
