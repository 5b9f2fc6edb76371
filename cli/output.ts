import { styleText } from "node:util";

/** The one place that writes text of our own to stdout. Not for a guest's output, which passes unaltered. */
export function writeOut(text: string): void {
  process.stdout.write(text);
}

/** The one place that writes to stderr. */
export function writeErr(text: string): void {
  process.stderr.write(text);
}

/** Prints a value as indented JSON. */
export function printJson(value: unknown): void {
  writeOut(`${JSON.stringify(value, null, 2)}\n`);
}

type Style = Parameters<typeof styleText>[0];

/** Styles text for stdout; plain in a pipe and under NO_COLOR. */
export function styleOut(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

/** Styles text for stderr; plain in a pipe and under NO_COLOR. */
export function styleErr(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stderr });
}
