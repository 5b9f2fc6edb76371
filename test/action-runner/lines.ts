/** .NET's StreamReader: how a runner cuts a process's output into lines. */

/** Bytes that a mark of the byte order has, at most. */
const MARK_BYTES = 3;

/** Lines end at LF, CR or CR LF. A mark of the byte order at the very start chooses the encoding; bytes that are no UTF-8 become U+FFFD. */
export class LineReader {
  #decoder: InstanceType<typeof TextDecoder> | undefined;
  #head = Buffer.alloc(0);
  #pieces: string[] = [];
  #afterCr = false;
  readonly #emit: (line: string) => void;

  constructor(emit: (line: string) => void) {
    this.#emit = emit;
  }

  write(bytes: Buffer): void {
    if (this.#decoder !== undefined) {
      this.#cut(this.#decoder.decode(bytes, { stream: true }));
      return;
    }
    this.#head = Buffer.concat([this.#head, bytes]);
    if (this.#head.length >= MARK_BYTES) this.#start();
  }

  end(): void {
    if (this.#decoder === undefined) this.#start();
    this.#cut(this.#decoder?.decode() ?? "");
    if (this.#pieces.length > 0) this.#line("");
  }

  #start(): void {
    const mark = this.#head.toString("hex", 0, 2);
    const name = mark === "fffe" ? "utf-16le" : mark === "feff" ? "utf-16be" : "utf-8";
    this.#decoder = new TextDecoder(name);
    this.#cut(this.#decoder.decode(this.#head, { stream: true }));
    this.#head = Buffer.alloc(0);
  }

  #cut(text: string): void {
    if (text === "") return;
    let from = this.#afterCr && text.startsWith("\n") ? 1 : 0;
    this.#afterCr = false;
    const ends = /\r\n|\r|\n/g;
    ends.lastIndex = from;
    for (let end = ends.exec(text); end !== null; end = ends.exec(text)) {
      this.#line(text.slice(from, end.index));
      from = ends.lastIndex;
      this.#afterCr = end[0] === "\r" && from === text.length;
    }
    if (from < text.length) this.#pieces.push(text.slice(from));
  }

  #line(last: string): void {
    this.#emit(this.#pieces.length === 0 ? last : `${this.#pieces.join("")}${last}`);
    this.#pieces = [];
  }
}
