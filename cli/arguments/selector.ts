import { InvalidArgumentError } from "commander";

/** Adds `KEY=VALUE`, or `KEY` for any value, to the selectors given so far. */
export function collectSelector(text: string, before: readonly string[] = []): readonly string[] {
  if (/^[^=]+/.test(text) && text.length <= 1200) return [...before, text];
  throw new InvalidArgumentError("Write KEY=VALUE, or KEY.");
}
