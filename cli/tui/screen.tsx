/** The terminal while the dashboard has it: the alternate screen, raw keys, and everything put back whatever happens. */
import { type Instance, render } from "ink";
import { readTerminalSize } from "../exec-io/terminal.ts";
import { guardTerminal } from "../exec-io/terminal-guard.ts";
import { Dashboard } from "./draw/dashboard.tsx";
import { type Key, readKeys } from "./keys.ts";
import type { Store } from "./state/store.ts";

/**
 * Without automatic wrapping no line that the terminal takes for wider than we do can scroll the frame away; pasted text is told apart
 * from keys.
 */
const MODES = "\x1b[?7l\x1b[?2004h";
const MODES_OFF = "\x1b[?2004l\x1b[?7h";
/** Leaves the alternate screen and shows the cursor. */
const FAREWELL = `\x1b[?1049l${MODES_OFF}\x1b[?25h`;
/**
 * What programs that had the terminal may have left switched on: mouse, focus, cursor keys, keypad, bracketed paste, scroll region,
 * character set. Between saving the cursor and restoring it, since to reset the scroll region moves it.
 */
const RESET =
  "\x1b7\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1l\x1b>\x1b[?2004l\x1b[?7h\x1b[r\x1b(B\x1b[m\x1b8";

/** Whether what is drawn is read aloud (Ink's own variable): then nothing moves by itself, or it would be read again and again. */
export const isReadAloud = process.env.INK_SCREEN_READER === "true";

export class Screen {
  readonly #store: Store;
  readonly #onKey: (key: Key) => void;
  readonly #onCrash: (error: unknown) => void;
  #ink: Instance | undefined;
  #keys: Disposable | undefined;
  #guard: Disposable | undefined;
  #isOver = false;

  constructor(store: Store, on: { key: (key: Key) => void; crash: (error: unknown) => void }) {
    this.#store = store;
    this.#onKey = on.key;
    this.#onCrash = on.crash;
  }

  get isOpen(): boolean {
    return this.#ink !== undefined;
  }

  open(): void {
    if (this.isOpen) return;
    this.#store.set({ size: readTerminalSize() });
    // before Ink's own: the frame has the new size when Ink draws it
    process.stdout.on("resize", this.#resize);
    process.stdout.write(RESET + MODES);
    // Ink's text for screen readers begins where the cursor is
    if (isReadAloud) process.stdout.write("\x1b[?1049h\x1b[H");
    this.#guard = guardTerminal(() => process.stdin.setRawMode(true), FAREWELL);
    // nothing at first: what fails in a first frame would leave Ink's screen without anybody to close it
    this.#ink = render(null, {
      alternateScreen: true,
      incrementalRendering: true,
      // the store says when to draw; a second limit would make each key wait for both
      maxFps: 1000,
      // also under CI, where Ink would draw its last frame only
      interactive: true,
      exitOnCtrlC: false,
      patchConsole: false,
    });
    this.#ink.waitUntilExit().catch(this.#onCrash);
    try {
      this.#ink.rerender(<Dashboard store={this.#store} />);
    } catch (error) {
      this.#onCrash(error);
    }
    this.#keys = readKeys(process.stdin, this.#onKey);
  }

  /** Closes it for good: who has the terminal now gives it back to nobody. @param isBroken as for `close` */
  end(isBroken: boolean): void {
    this.#isOver = true;
    this.close(isBroken);
  }

  /** @param isBroken drawing has failed: Ink draws once more when it ends, fails again, and leaves the terminal as it is */
  close(isBroken = false): void {
    if (!this.isOpen) return;
    process.stdout.off("resize", this.#resize);
    this.#keys?.[Symbol.dispose]();
    try {
      this.#ink?.unmount();
    } catch (error) {
      if (!isBroken) throw error;
    }
    this.#ink = undefined;
    if (isBroken) process.stdout.write(FAREWELL);
    process.stdin.setRawMode(false);
    this.#guard?.[Symbol.dispose]();
    process.stdout.write(`${MODES_OFF}\x1b[?25h`);
  }

  /** Leaves the terminal to `work` and takes it back, whatever comes of it. */
  async handOver<T>(work: () => Promise<T>): Promise<T> {
    this.close();
    try {
      return await work();
    } finally {
      if (!this.#isOver) this.open();
    }
  }

  /** Draws everything anew, also where somebody else has written meanwhile. */
  repaint(): void {
    if (this.#ink === undefined) return;
    process.stdin.setRawMode(true);
    process.stdout.write(`${MODES}\x1b[2J`);
    this.#ink.clear();
    this.#ink.rerender(<Dashboard store={this.#store} />);
  }

  readonly #resize = (): void => {
    this.#store.set({ size: readTerminalSize() });
    this.#store.tellNow();
    this.#ink?.rerender(<Dashboard store={this.#store} />);
  };
}
