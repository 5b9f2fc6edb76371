import { InvalidArgumentError } from "commander";
import { readTextNow } from "../../client/index.ts";

const MAX_FILE_BYTES = 1 << 20;

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

/** Adds what a file says: `K=V` or `K` on each line, word for word; empty lines and those that begin with `#` say nothing. */
export function collectEnvFile(file: string, before: Environment = {}): Environment {
  let all = before;
  for (const [index, line] of readText(file).split(/\r?\n/).entries()) {
    const text = line.trimStart();
    if (text === "" || text.startsWith("#")) continue;
    if (!/^[A-Za-z_][A-Za-z0-9_]*(=[^\0]*)?$/.test(text))
      throw new InvalidArgumentError(`Line ${index + 1} of ${file} is not NAME=VALUE.`);
    all = collectEnv(text, all);
  }
  return all;
}

function readText(file: string): string {
  try {
    return readTextNow(file, MAX_FILE_BYTES);
  } catch (error) {
    throw new InvalidArgumentError(`Can't read ${file}: ${(error as Error).message}.`);
  }
}
