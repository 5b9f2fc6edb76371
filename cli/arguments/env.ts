import { readFileSync } from "node:fs";
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

/** Adds the variables of a file as docker reads it: a `K=V` or `K` in each line, taken as it is written; lines that begin with `#` are comments. */
export function collectEnvFile(path: string, before: Environment = {}): Environment {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
  const lines = text.split(/\r?\n/).map((line) => line.trimStart());
  return lines
    .filter((line) => line !== "" && !line.startsWith("#"))
    .reduce<Environment>((all, line) => collectEnv(line, all), before);
}
