/** Text of a known width. What is shown may be a guest's: nothing in here lets a control sequence through. */
import { styleText } from "node:util";
import stringWidth from "string-width";
import { cleanText } from "../../format/clean-text.ts";
import { ONE_COLUMN_EACH, widthOf } from "./width.ts";

/** What a piece of text means; `paint` gives it a colour. */
export type Tone = "accent" | "bad" | "good" | "warn" | "dim" | "strong";

/** A piece of a line. */
export interface Piece {
  text: string;
  tone?: Tone | undefined;
}
export type Line = readonly Piece[];

const styles = {
  accent: "cyan",
  bad: "red",
  good: "green",
  warn: "yellow",
  dim: "dim",
  strong: "bold",
} as const satisfies Record<Tone, Parameters<typeof styleText>[0]>;

// one for all: to make one costs a millisecond
let segmenter: Intl.Segmenter | undefined;

/**
 * Characters by which some terminals join others, or make them wider, and others do not: without them a text has the same width in all.
 * A family of emoji becomes its members.
 */
const DISPUTED = /[\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}\p{Emoji_Modifier}]|\u20e3/gu;

/** The text as it can be drawn: without what would drive the terminal, or be as wide as the terminal likes. */
export function showable(text: string): string {
  return ONE_COLUMN_EACH.test(text) ? text : cleanText(text).replace(DISPUTED, "").toWellFormed();
}

/** Cuts a text to `width` columns, with `…` where something is missing. Never splits a character that is made of several code points. */
export function cut(text: string, width: number): string {
  if (width <= 0) return "";
  if (ONE_COLUMN_EACH.test(text)) return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
  // no character takes more than two columns, and few code points make one: the rest of a long text is not looked at
  const head = text.slice(0, width * 16);
  segmenter ??= new Intl.Segmenter();
  let shown = "";
  let used = 0;
  let short = "";
  for (const { segment } of segmenter.segment(head)) {
    const columns = stringWidth(segment);
    if (used + columns > width) return `${short}…${" ".repeat(width - stringWidth(short) - 1)}`;
    if (used + columns <= width - 1) short = shown + segment;
    shown += segment;
    used += columns;
  }
  return head.length < text.length ? `${short}…` : shown;
}

/** The end of a text, in at most `width` columns, with `…` where its beginning is missing. */
export function cutStart(text: string, width: number): string {
  const shown = showable(text);
  if (widthOf(shown) <= width) return shown;
  segmenter ??= new Intl.Segmenter();
  let tail = "";
  let used = 1;
  for (const { segment } of [...segmenter.segment(shown.slice(-width * 16))].reverse()) {
    used += widthOf(segment);
    if (used > width) break;
    tail = segment + tail;
  }
  return `…${tail}`;
}

/** Cleans a text and fills it up to `width` columns; a wider one stays as it is. */
export function padTo(text: string, width: number): string {
  const shown = showable(text);
  return shown + " ".repeat(Math.max(0, width - widthOf(shown)));
}

/** Cleans a text and makes it exactly `width` columns wide. */
export function fitTo(text: string, width: number, align: "left" | "right" = "left"): string {
  const shown = cut(showable(text), width);
  const space = " ".repeat(Math.max(0, width - widthOf(shown)));
  return align === "left" ? shown + space : space + shown;
}

/** Colours a text. Plain where the terminal has no colours, and under NO_COLOR. */
export function colour(tone: Tone, text: string): string {
  return styleText(styles[tone], text, { stream: process.stdout });
}

/** A line as the terminal gets it, exactly `width` columns wide. */
export function paint(line: Line, width: number): string {
  let left = width;
  let out = "";
  // pieces of one tone, and the spaces between them
  let run = "";
  let runTone: Tone | undefined;
  const endRun = (): void => {
    const bare = run.trimEnd();
    out += (runTone === undefined || bare === "" ? bare : colour(runTone, bare)) + run.slice(bare.length);
    run = "";
  };
  for (const { text, tone } of line) {
    if (left <= 0) break;
    const shown = cut(showable(text), left);
    left -= widthOf(shown);
    if (tone !== runTone && !/^ *$/.test(shown)) {
      endRun();
      runTone = tone;
    }
    run += shown;
  }
  endRun();
  return out + " ".repeat(Math.max(0, left));
}

/** A line of two sides; the left one is cut when there is no room for both. */
export function paintSides(left: Line, right: Line, width: number): string {
  const rightWidth = Math.min(
    width,
    right.reduce((sum, { text }) => sum + widthOf(showable(text)), 0),
  );
  return paint(left, width - rightWidth) + paint(right, rightWidth);
}

/** Breaks a text into lines of at most `width` columns. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of showable(text).split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (widthOf(longer) > width && line !== "") {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return [...lines, line];
}
