import { InvalidArgumentError } from "commander";

type Environment = Readonly<Record<string, string>>;

/**
 * Adds `K=V`, or `K` with its value in our own environment (nothing when it has none), to what was given so far.
 */
export function collectEnv(text: string, before: Environment = {}): Environment {
  const at = text.indexOf("=");
  const name = at < 0 ? text : text.slice(0, at);
  if (name === "") throw new InvalidArgumentError("Write NAME=VALUE, or NAME to pass your own value on.");
  const value = at < 0 ? process.env[name] : text.slice(at + 1);
  return value === undefined ? before : { ...before, [name]: value };
}
