import { InvalidArgumentError } from "commander";
import { TAG_PATTERN } from "../../api/patterns.ts";

/** Checks a tag: `name` or `name:version`. */
export function parseTag(text: string): string {
  if (TAG_PATTERN.test(text)) return text;
  throw new InvalidArgumentError("It is not a tag: write NAME or NAME:VERSION, e.g. node:24.");
}
