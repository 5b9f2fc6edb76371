import type { ExecHandlers, StatusMessage } from "../../client/index.ts";
import { cleanText } from "../format/clean-text.ts";
import { styleErr, writeErr } from "../output.ts";
import { writeFully } from "./fd-writer.ts";
import { ReplayFilter } from "./replay.ts";
import { TerminalModes } from "./terminal-modes.ts";

/** How the terminal is used. */
export interface ScreenOptions {
  /** Whether the exec has a terminal, and ours is raw for it. */
  raw: boolean;
  /** Said on entry, e.g. `Ctrl-] leaves, twice sends it`. */
  entry?: string | undefined;
  /** Whether we asked to write. */
  wantsToWrite: boolean;
}

/** Passes an exec's output on to our stdout and stderr, and says what is to be said of the connection. */
export class Screen implements Disposable {
  readonly #options: ScreenOptions;
  readonly #modes = new TerminalModes();
  #replay: ReplayFilter | undefined;
  #entered = false;

  constructor(options: ScreenOptions) {
    this.#options = options;
  }

  readonly stdout: NonNullable<ExecHandlers["stdout"]> = (bytes) => {
    if (!this.#options.raw) return writeFully(1, bytes);
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const shown = this.#replay?.take(chunk) ?? chunk;
    this.#modes.note(shown);
    return writeFully(1, shown);
  };

  readonly stderr: NonNullable<ExecHandlers["stderr"]> = (chunk) => writeFully(2, chunk);

  hear(message: StatusMessage): void {
    if (message.type === "writer-lost") this.#say(`${message.to} has taken over; you watch now`);
    if (message.type === "dropped")
      this.#say(`output is missing here: std${message.channel} goes on at byte ${message.offset}`);
    if (message.type !== "attached") return;
    if (this.#options.raw && !this.#entered && message.out < message.outEnd)
      this.#replay = new ReplayFilter(message.outEnd - message.out);
    const { entry, wantsToWrite } = this.#options;
    if (wantsToWrite && !message.writer)
      this.#say(`${message.writtenBy ?? "somebody else"} writes; you watch (--takeover to write)`);
    if (entry !== undefined && !this.#entered && process.stderr.isTTY === true) this.#say(entry);
    this.#entered = true;
  }

  /** Undoes what the guest's programs did to the terminal. */
  [Symbol.dispose](): void {
    const undo = this.#modes.undo();
    if (undo !== "" && process.stdout.isTTY === true) process.stdout.write(undo);
  }

  #say(text: string): void {
    writeErr(
      `${this.#options.raw ? "\r" : ""}${styleErr("dim", `thaw: ${cleanText(text)}`)}${this.#options.raw ? "\r" : ""}\n`,
    );
  }
}
