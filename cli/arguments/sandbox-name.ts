import { InvalidArgumentError } from "commander";
import { SANDBOX_NAME_PHRASE, sandboxNamePattern } from "../../api/patterns.ts";

/** Checks a new sandbox's name, which becomes its hostname. */
export function parseSandboxName(text: string): string {
  if (sandboxNamePattern.test(text)) return text;
  throw new InvalidArgumentError(`A name has ${SANDBOX_NAME_PHRASE}.`);
}
