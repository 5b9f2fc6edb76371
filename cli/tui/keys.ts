/** Keys of the terminal by name: `a`, `A`, `return`, `ctrl-c`, `shift-tab`. */
import { emitKeypressEvents } from "node:readline";
import type { Readable } from "node:stream";
import { cleanText, stripSequences } from "../format/clean-text.ts";

/** A key that was pressed, or (as `paste`) text that was pasted. */
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
/** A paste whose end never comes is over when nothing has come for so long. */
const PASTE_MS = 1000;
const LONGEST_PASTE = 4096;

const escapeKey: Key = { name: "escape", text: "" };

export function nameKey(text: string | undefined, { name, sequence, ctrl, meta, shift }: Pressed): Key {
  const isText = text !== undefined && ctrl !== true && meta !== true && !/^\p{Cc}/u.test(text);
  if (isText && text !== " ") return { name: text, text };
  if (isText) return { name: "space", text };
  const known = name === "enter" ? "return" : (name ?? sequence ?? "");
  const prefix = `${ctrl === true ? "ctrl-" : ""}${meta === true ? "alt-" : ""}${shift === true ? "shift-" : ""}`;
  // the escape key is told with meta
  return known === "escape" ? escapeKey : { name: `${prefix}${known}`, text: "" };
}

/** A control character: Ctrl with the letter of the same place. */
function nameControl(character: string): Key {
  const letter = String.fromCharCode(character.charCodeAt(0) + 0x60);
  return { name: `ctrl-${letter}`, text: "" };
}

/**
 * The keys of which a terminal made one sequence. The escape key and a key right after it look like one key with Alt; over a slow line
 * they often come together. No key of ours has Alt, but for the one that removes a word.
 */
export function keysOf(text: string | undefined, pressed: Pressed): Key[] {
  const { sequence = "", meta = false, name } = pressed;
  const isAlone = !sequence.startsWith("\x1b") || sequence === "\x1b" || name === "backspace";
  if (isAlone) return [nameKey(text, pressed)];
  const rest = sequence.slice(1);
  if (rest === "\x1b") return [escapeKey, escapeKey];
  if (rest.startsWith("\x1b")) return [escapeKey, nameKey(undefined, { ...pressed, sequence: rest })];
  // what begins with these and has Alt is a cursor or function key
  if ((!meta && name !== undefined) || /^[[O]./.test(rest)) return [nameKey(text, pressed)];
  if (name === undefined && rest.length === 1 && rest < " ") return [escapeKey, nameControl(rest)];
  return [escapeKey, nameKey(rest, { ...pressed, sequence: rest, meta: false })];
}

/** Tells of keys until disposed of. Nothing is read from the terminal from then on: it may be somebody else's. */
export function readKeys(stdin: Readable, onKey: (key: Key) => void): Disposable {
  let pasted: { text: string; at: number } | undefined;
  const endPaste = (): void => {
    if (pasted === undefined) return;
    const text = cleanText(stripSequences(pasted.text).replace(/[\r\n]+/g, " "));
    pasted = undefined;
    onKey({ name: "paste", text });
  };
  const hear = (text: string | undefined, pressed: Pressed): void => {
    const now = performance.now();
    if (pasted !== undefined && now - pasted.at > PASTE_MS) endPaste();
    if (pressed.name === "paste-start") pasted = { text: "", at: now };
    else if (pressed.name === "paste-end") endPaste();
    else if (pasted !== undefined)
      pasted = { text: (pasted.text + (pressed.sequence ?? "")).slice(0, LONGEST_PASTE), at: now };
    else for (const key of keysOf(text, pressed)) onKey(key);
  };
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
