import { InvalidArgumentError } from "commander";
import { sandboxNamePattern } from "../../api/patterns.ts";

/** Checks a new sandbox's name, which becomes its hostname. */
export function parseSandboxName(text: string): string {
  if (sandboxNamePattern.test(text)) return text;
  throw new InvalidArgumentError("A name has lower-case letters, digits and inner dashes, 40 at most.");
}
