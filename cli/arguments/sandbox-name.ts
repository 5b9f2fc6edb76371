import { InvalidArgumentError } from "commander";

/** Checks a new sandbox's name, which becomes its hostname. */
export function parseSandboxName(text: string): string {
  if (/^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/.test(text)) return text;
  throw new InvalidArgumentError("A name has lower-case letters, digits and inner dashes, 40 at most.");
}
