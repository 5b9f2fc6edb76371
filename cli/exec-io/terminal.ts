import { ThawError } from "../../client/index.ts";
import { guardTerminal } from "./terminal-guard.ts";

/** Rows and columns. */
export interface TerminalSize {
  rows: number;
  cols: number;
}

/** The size of our terminal; 24 × 80 when it does not tell. */
export function readTerminalSize(): TerminalSize {
  return { rows: process.stdout.rows || 24, cols: process.stdout.columns || 80 };
}

/** @throws ThawError `usage` when a terminal is asked for and stdin is to be passed, but stdin is not one. */
export function checkTerminal(flags: { tty?: boolean; interactive?: boolean }): void {
  if (flags.tty === true && flags.interactive === true && process.stdin.isTTY !== true) {
    throw new ThawError("usage", "-t with -i needs a terminal, but stdin is not one", {
      hint: "leave out -t",
    });
  }
}

/** Makes the terminal raw until disposed of, or until the process ends in whatever way, be it killed. */
export function makeTerminalRaw(): Disposable {
  const { stdin } = process;
  if (stdin.isTTY !== true) return { [Symbol.dispose]: () => {} };
  const restore = (): void => {
    stdin.setRawMode(false);
  };
  process.once("exit", restore);
  const guard = guardTerminal(() => stdin.setRawMode(true));
  return {
    [Symbol.dispose]: () => {
      process.removeListener("exit", restore);
      restore();
      guard[Symbol.dispose]();
    },
  };
}

/** Tells each new size of the terminal until disposed of. */
export function watchTerminalSize(onResize: (size: TerminalSize) => void): Disposable {
  const report = (): void => onResize(readTerminalSize());
  process.stdout.on("resize", report);
  return { [Symbol.dispose]: () => process.stdout.removeListener("resize", report) };
}
