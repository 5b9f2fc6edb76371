/**
 * The step's log. All of it goes to stdout: the runner reads stdout and stderr apart, so a line on stderr could overtake the fence. What a
 * guest writes is told line by line, as the runner reads it, and no more than a line is held.
 */
import { neutralise } from "./neutralise.ts";

/** A longer line is told in pieces, each a line of its own. */
const MAX_LINE_CHARS = 32_768;
/** The summary shows the end of the output. */
const KEPT_CHARS = 64 * 1024;

export type Write = (text: string) => void | Promise<void>;

/** Writes to our stdout; resolves when more may come. */
export function writeOut(text: string): void | Promise<void> {
  if (process.stdout.write(text)) return;
  return new Promise((resolve) => process.stdout.once("drain", resolve));
}

/** Ends lines that are too long. */
function breakLines(text: string): string {
  const pieces: string[] = [];
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf("\n", at);
    const stop = end < 0 ? text.length : end + 1;
    for (; stop - at > MAX_LINE_CHARS + 1; at += MAX_LINE_CHARS)
      pieces.push(text.slice(at, at + MAX_LINE_CHARS), "\n");
    pieces.push(text.slice(at, stop));
    at = stop;
  }
  return pieces.join("");
}

/** One stream of a guest. */
class GuestStream {
  readonly #tell: Write;
  readonly #decoder = new TextDecoder();
  #rest = "";

  constructor(tell: Write) {
    this.#tell = tell;
  }

  readonly push = (chunk: Uint8Array): void | Promise<void> => {
    const text = this.#rest + this.#decoder.decode(chunk, { stream: true });
    // A return may be the first half of a line's end.
    const ended = text.replace(/\r\n|\r(?!$)/g, "\n");
    const lines = breakLines(ended);
    const end = lines.lastIndexOf("\n") + 1;
    this.#rest = lines.slice(end);
    if (end > 0) return this.#tell(neutralise(lines.slice(0, end)));
  };

  finish(): void | Promise<void> {
    const rest = (this.#rest + this.#decoder.decode()).replace(/\r$/, "");
    this.#rest = "";
    if (rest !== "") return this.#tell(`${neutralise(rest.replaceAll("\r", "\n"))}\n`);
  }
}

/** What a guest writes, between fences that it can't know. */
export class GuestLog {
  readonly #write: Write;
  readonly #token: string;
  readonly stdout: GuestStream;
  readonly stderr: GuestStream;
  #fenced = false;
  #tail = "";

  /** @param options token: fresh, and known to no guest */
  constructor({ write = writeOut, token }: { write?: Write; token: string }) {
    this.#write = write;
    this.#token = token;
    const tell: Write = (text) => {
      this.#tail = (this.#tail + text).slice(-KEPT_CHARS);
      return this.#write(text);
    };
    this.stdout = new GuestStream(tell);
    this.stderr = new GuestStream(tell);
  }

  /** Says something of ours, as a line of its own. It may quote a guest. */
  say(text: string): void | Promise<void> {
    return this.#write(`${neutralise(`thaw: ${text.replaceAll(/[\r\n]+/g, " ")}`)}\n`);
  }

  /** The runner obeys no command from here on. */
  async openFence(): Promise<void> {
    if (this.#fenced) return;
    this.#fenced = true;
    await this.#write(`::stop-commands::${this.#token}\n`);
  }

  /** Tells what is left, and lets the runner obey us again. */
  async closeFence(): Promise<void> {
    await this.stdout.finish();
    await this.stderr.finish();
    if (!this.#fenced) return;
    this.#fenced = false;
    await this.#write(`::${this.#token}::\n`);
  }

  /** The last lines, as they were told. */
  lastLines(count: number): string[] {
    return this.#tail.replace(/\n$/, "").split("\n").slice(-count);
  }
}
