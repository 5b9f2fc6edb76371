/** Keys of the terminal by name: `a`, `A`, `return`, `ctrl-c`, `shift-tab`. */
import { emitKeypressEvents } from "node:readline";
import type { ReadStream } from "node:tty";

/** A key that was pressed, or text that was pasted. */
export interface Key {
  name: string;
  /** What it writes into a field; empty for keys that write nothing. */
  text: string;
}

interface Pressed {
  name?: string | undefined;
  sequence?: string | undefined;
  ctrl?: boolean;
  meta?: boolean;
  shift?: boolean;
}

/** How long the rest of an escape sequence is waited for: without a rest it is the escape key. */
const ESCAPE_MS = 50;

export function nameKey(text: string | undefined, { name, sequence, ctrl, meta, shift }: Pressed): Key {
  const isText = text !== undefined && ctrl !== true && meta !== true && !/^\p{Cc}/u.test(text);
  if (isText && text !== " ") return { name: text, text };
  if (isText) return { name: "space", text };
  const known = name === "enter" ? "return" : (name ?? sequence ?? "");
  const prefix = `${ctrl === true ? "ctrl-" : ""}${meta === true ? "alt-" : ""}${shift === true ? "shift-" : ""}`;
  // the escape key is told with meta
  return { name: known === "escape" ? known : `${prefix}${known}`, text: "" };
}

/** Tells of keys until disposed of. Nothing is read from the terminal from then on: it may be somebody else's. */
export function readKeys(stdin: ReadStream, onKey: (key: Key) => void): Disposable {
  const hear = (text: string | undefined, pressed: Pressed): void => onKey(nameKey(text, pressed));
  // of its parameter only the time is used
  emitKeypressEvents(stdin, { escapeCodeTimeout: ESCAPE_MS } as never);
  stdin.on("keypress", hear);
  stdin.resume();
  return {
    [Symbol.dispose]: () => {
      stdin.off("keypress", hear);
      stdin.pause();
    },
  };
}
