import { InvalidArgumentError } from "commander";

const pattern = /^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?(:[A-Za-z0-9_][A-Za-z0-9._-]{0,62})?$/;

/** Checks a tag: `name` or `name:version`. */
export function parseTag(text: string): string {
  if (pattern.test(text)) return text;
  throw new InvalidArgumentError("It is not a tag: write NAME or NAME:VERSION, e.g. node:24.");
}
