/** One terminal: a shell that it starts, or a command that it joins, and the screen that shows it. Knows nothing of React. */

import { LOGIN_SHELL } from "../../api/own-commands.ts";
import type { Exec, ExecConnection, StatusMessage, Thaw } from "../../client/browser.ts";
import { ThawError } from "../../client/errors.ts";
import { pause } from "../../client/pause.ts";
import { ahead } from "../state/ahead.ts";
import type { Screen, ScreenOptions } from "./screen.ts";

const loadScreen = ahead(() => import("./screen.ts"));
/** Of a command that ran before: what is shown of its output. */
const SCROLLBACK_BYTES = 1 << 20;
/** Between attempts to come back to a daemon that is away; doubled each time. */
const AWAY_MS = { least: 250, most: 5000 };

export interface TerminalState {
  /** `lost`: the connection broke, and is being made again. */
  phase: "opening" | "open" | "lost" | "ended" | "failed";
  /** Somebody else writes: what that one calls itself, or null. */
  writer: { name: string | null } | undefined;
  exec: Exec | undefined;
  /** Output before what is shown is no longer kept. */
  isCut: boolean;
  trouble: { message: string; hint: string | undefined } | undefined;
  found: { index: number; count: number } | undefined;
  /** Where the link below the pointer leads. */
  link: string | undefined;
}

export const OPENING: TerminalState = {
  phase: "opening",
  writer: undefined,
  exec: undefined,
  isCut: false,
  trouble: undefined,
  found: undefined,
  link: undefined,
};

export interface SessionOptions extends Pick<ScreenOptions, "element" | "onSearch" | "onLeave"> {
  thaw: Thaw;
  sandbox: string;
  /** Id of the command to join. */
  exec: string;
  /** A login shell is started with that id first. */
  starts: boolean;
  /** What to be called towards others. */
  as?: string | undefined;
  screenReader: boolean;
  onState: (state: TerminalState) => void;
}

export class TerminalSession {
  readonly #options: SessionOptions;
  readonly #abort = new AbortController();
  readonly #opened = Promise.withResolvers<void>();
  #state = OPENING;
  #screen: Screen | undefined;
  #connection: ExecConnection | undefined;
  /** What is typed goes one after the other, and waits for the connection. */
  #typing: Promise<void> = this.#opened.promise;
  /** Offsets of the output that was taken. */
  #out = 0;
  #err = 0;
  /** Output before this offset was there before us: what it asks the terminal was answered then. */
  #replayedUntil = 0;
  #begun = false;
  #isTerminal = true;
  #takesOver = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#run().catch((error: unknown) => this.#fail(error));
  }

  /** Becomes the writer, though somebody else is. */
  takeOver(): void {
    this.#takesOver = true;
    this.#connection?.close();
  }

  /** Ends a shell as the window of a terminal does when it is closed. */
  hangUp(): void {
    if (this.#state.phase === "ended") return;
    const { thaw, sandbox, exec } = this.#options;
    // It may just have ended.
    thaw.sandboxes
      .at(sandbox)
      .execAt(exec)
      .signal("HUP")
      .catch(() => {});
  }

  search(text: string, direction: "next" | "previous" | "here"): void {
    this.#screen?.search(text, direction);
  }

  set screenReader(on: boolean) {
    if (this.#screen !== undefined) this.#screen.screenReader = on;
  }

  focus(): void {
    this.#screen?.focus();
  }

  /** Lets go: the command runs on. */
  dispose(): void {
    this.#abort.abort(new ThawError("cancelled", "the terminal was closed"));
    this.#screen?.dispose();
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    const { thaw, sandbox, exec, starts, element, screenReader, onSearch, onLeave } = this.#options;
    const { Screen } = await loadScreen();
    if (signal.aborted) return;
    const screen = new Screen({
      ...{ element, screenReader, convertEol: false, onSearch, onLeave },
      onInput: (bytes) => this.#type(bytes),
      onResize: () => this.#tellSize(),
      onFound: (found) => this.#set({ found }),
      onHover: (link) => this.#set({ link }),
    });
    this.#screen = screen;
    if (starts) await this.#startShell(screen);
    const reference = thaw.sandboxes.at(sandbox).execAt(exec);
    for (let ms = AWAY_MS.least; ; ms = Math.min(ms * 2, AWAY_MS.most)) {
      const takeover = this.#takesOver;
      this.#takesOver = false;
      try {
        this.#connection = await reference.attach({
          ...{ out: this.#out, err: this.#err, stdin: true, takeover, signal },
          ...(this.#begun || starts ? {} : { scrollback: SCROLLBACK_BYTES }),
          ...(this.#options.as === undefined ? {} : { as: this.#options.as }),
          stdout: (chunk) => this.#show(chunk, "out"),
          stderr: (chunk) => this.#show(chunk, "err"),
          onStatus: (message) => this.#hear(message, screen),
          onBroken: () => this.#set({ phase: "lost" }),
        });
        ms = AWAY_MS.least;
        this.#opened.resolve();
        this.#tellSize();
        this.#end(await this.#connection.result, screen);
        return;
      } catch (error) {
        if (signal.aborted) return;
        // It was closed to be opened by the one who takes over.
        if (this.#takesOver) continue;
        if (!(error instanceof ThawError) || error.code !== "daemon-unreachable") throw error;
        this.#set({ phase: "lost" });
        await pause(ms, signal);
      }
    }
  }

  /** Asked for twice, it is the same shell. */
  #startShell({ size }: Screen): Promise<Exec> {
    const { thaw, sandbox, exec } = this.#options;
    const env = { TERM: "xterm-256color", COLORTERM: "truecolor" };
    const request = { id: exec, argv: [...LOGIN_SHELL], env, tty: size, stdin: true };
    return thaw.sandboxes.at(sandbox).startDetached(request);
  }

  #show(chunk: Uint8Array, channel: "out" | "err"): void | Promise<void> {
    if (channel === "out") this.#out += chunk.length;
    else this.#err += chunk.length;
    return this.#screen?.write(chunk);
  }

  #type(bytes: Uint8Array): void {
    // What the output of before asks the terminal for is answered by nobody.
    if (this.#screen !== undefined && this.#screen.parsed < this.#replayedUntil) return;
    // What is no terminal makes no line end of the key that is one.
    const typed = this.#isTerminal ? bytes : bytes.map((byte) => (byte === 13 ? 10 : byte));
    this.#typing = this.#typing.then(() => this.#connection?.writeStdin(typed)).catch(() => {});
  }

  #tellSize(): void {
    const { size } = this.#screen ?? {};
    if (size === undefined || !this.#isTerminal || this.#connection?.watching !== false) return;
    this.#connection.resize(size);
  }

  #hear(message: StatusMessage, screen: Screen): void {
    switch (message.type) {
      case "started":
        this.#isTerminal = message.exec.tty;
        screen.convertEol = !message.exec.tty;
        this.#set({ exec: message.exec });
        break;
      case "attached": {
        if (!this.#begun) this.#replayedUntil = message.outEnd - message.out + (message.errEnd - message.err);
        this.#begun = true;
        this.#out = Math.max(this.#out, message.out);
        this.#err = Math.max(this.#err, message.err);
        this.#set({ phase: "open", writer: message.writer ? undefined : { name: message.writtenBy } });
        this.#tellSize();
        break;
      }
      case "writer-lost":
        this.#set({ writer: { name: message.to } });
        break;
      case "dropped":
        if (message.channel === "out") this.#out = Math.max(this.#out, message.offset);
        else this.#err = Math.max(this.#err, message.offset);
        this.#set({ isCut: true });
        break;
      default:
    }
  }

  #end(exec: Exec, screen: Screen): void {
    screen.end();
    this.#set({ phase: "ended", exec, writer: undefined });
  }

  #fail(error: unknown): void {
    if (this.#abort.signal.aborted) return;
    const message = error instanceof Error ? error.message : String(error);
    const hint = error instanceof ThawError ? error.hint : undefined;
    this.#screen?.end();
    this.#set({ phase: "failed", trouble: { message, hint } });
  }

  #set(change: Partial<TerminalState>): void {
    if (this.#abort.signal.aborted) return;
    this.#state = { ...this.#state, ...change };
    this.#options.onState(this.#state);
  }
}
