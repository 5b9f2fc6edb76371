/** A program's output with its colours, as pieces of text. Everything but colours (SGR) is dropped; what is long is cut. */
import { stripSequences, visibleText } from "../../api/clean-text.ts";

export interface Piece {
  text: string;
  /** Names of classes: `fg-1`, `bold`. */
  className: string;
}

const MAX_LINE = 4000;
const MAX_PIECES = 400;
const NAMES: Readonly<Record<number, string>> = { 1: "bold", 2: "faint", 3: "italic", 4: "underline" };

interface Style {
  fg: number | undefined;
  bg: number | undefined;
  on: ReadonlySet<string>;
}
export const PLAIN: Style = { fg: undefined, bg: undefined, on: new Set() };

/** The nearest of the sixteen colours. */
function nearest(red: number, green: number, blue: number): number {
  const most = Math.max(red, green, blue);
  if (most - Math.min(red, green, blue) < 32) return most < 64 ? 0 : most < 128 ? 8 : most < 208 ? 7 : 15;
  const bit = (value: number): number => (value > most / 2 ? 1 : 0);
  return bit(red) + 2 * bit(green) + 4 * bit(blue) + (most > 208 ? 8 : 0);
}

function fromPalette(index: number): number {
  if (index < 16) return index;
  if (index >= 232) {
    const grey = (index - 232) * 10 + 8;
    return nearest(grey, grey, grey);
  }
  const cube = index - 16;
  const level = (step: number): number => (step === 0 ? 0 : 55 + 40 * step);
  return nearest(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

/** The style after one SGR sequence. */
function applySgr(before: Style, codes: readonly number[]): Style {
  let { fg, bg } = before;
  let on = before.on;
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at] ?? 0;
    if (code === 0) [fg, bg, on] = [undefined, undefined, new Set<string>()];
    else if (code in NAMES) on = new Set([...on, NAMES[code] ?? ""]);
    else if (code === 22) on = new Set([...on].filter((name) => name !== "bold" && name !== "faint"));
    else if (code === 23 || code === 24)
      on = new Set([...on].filter((name) => name !== (code === 23 ? "italic" : "underline")));
    else if (code === 39) fg = undefined;
    else if (code === 49) bg = undefined;
    else if (code >= 30 && code <= 37) fg = code - 30;
    else if (code >= 90 && code <= 97) fg = code - 82;
    else if (code >= 40 && code <= 47) bg = code - 40;
    else if (code >= 100 && code <= 107) bg = code - 92;
    else if (code === 38 || code === 48) {
      const isPalette = codes[at + 1] === 5;
      const [red = 0, green = 0, blue = 0] = codes.slice(at + 2, at + 5).map((value) => Math.min(255, value));
      const colour = isPalette ? fromPalette(red) : nearest(red, green, blue);
      if (code === 38) fg = colour;
      else bg = colour;
      at += isPalette ? 2 : 4;
    }
  }
  return { fg, bg, on };
}

function classOf({ fg, bg, on }: Style): string {
  return [...(fg === undefined ? [] : [`fg-${fg}`]), ...(bg === undefined ? [] : [`bg-${bg}`]), ...on].join(
    " ",
  );
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: sequences begin with one
const SGR = /\x1b\[([\d;:]{0,64})m/g;

/** What is seen of a line that was written over: the last of it. */
function lastWritten(line: string): string {
  const text = line.replace(/\r+$/, "");
  return text.slice(text.lastIndexOf("\r") + 1);
}

/** @returns the line's pieces, and the style that the next line begins with */
export function parseLine(line: string, before: Style = PLAIN): { pieces: Piece[]; style: Style } {
  const shown = lastWritten(line).slice(0, MAX_LINE);
  const pieces: Piece[] = [];
  let style = before;
  const add = (text: string): void => {
    const clean = visibleText(stripSequences(text).replaceAll("\t", "    "));
    if (clean === "" || pieces.length > MAX_PIECES) return;
    pieces.push({ text: clean, className: classOf(style) });
  };
  let at = 0;
  for (const match of shown.matchAll(SGR)) {
    add(shown.slice(at, match.index));
    const [whole, codes = ""] = match;
    style = applySgr(style, codes === "" ? [0] : codes.split(/[;:]/).map(Number));
    at = match.index + whole.length;
  }
  add(shown.slice(at));
  if (line.length > MAX_LINE) pieces.push({ text: "…", className: "faint" });
  return { pieces, style };
}

export function parseLines(lines: readonly string[]): Piece[][] {
  let style = PLAIN;
  return lines.map((line) => {
    const parsed = parseLine(line, style);
    style = parsed.style;
    return parsed.pieces;
  });
}
