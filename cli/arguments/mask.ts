import { InvalidArgumentError } from "commander";
import { ThawError } from "../../client/index.ts";

/** Adds a variable's name to those given so far. */
export function collectMask(name: string, before: readonly string[] = []): readonly string[] {
  if (name === "" || name.includes("="))
    throw new InvalidArgumentError("Write the NAME alone; its value comes from -e or from your environment.");
  return before.includes(name) ? before : [...before, name];
}

/** The values of the names. Throws `usage` for one without a value. */
export function readSecrets(
  names: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  return Object.fromEntries(
    names.map((name): [string, string] => {
      const value = environment[name];
      if (value !== undefined) return [name, value];
      throw new ThawError("usage", `--mask ${name}: there is no variable ${name}`, {
        hint: `export ${name}=…, or give it by -e ${name}=…`,
      });
    }),
  );
}
