/** The files that a step writes its outputs, state, environment, path and summary to: actions/runner's FileCommandManager.cs. */
import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A larger summary is dropped whole. */
export const SUMMARY_LIMIT_BYTES = 1024 * 1024;

type FileName = "env" | "output" | "path" | "state" | "step_summary";

export interface FileCommands {
  outputs: Record<string, string>;
  state: Record<string, string>;
  env: Record<string, string>;
  path: string[];
  summary: string;
  /** What a runner would say of a file that it can't read. */
  errors: string[];
}

/** The files of one step. */
export class CommandFiles {
  readonly environment: Record<string, string>;
  readonly #paths: Record<FileName, string>;

  constructor(temp: string) {
    const folder = join(temp, "_runner_file_commands");
    mkdirSync(folder, { recursive: true });
    const suffix = randomUUID();
    const file = (prefix: string): string => join(folder, prefix + suffix);
    this.#paths = {
      env: file("set_env_"),
      output: file("set_output_"),
      path: file("add_path_"),
      state: file("save_state_"),
      step_summary: file("step_summary_"),
    };
    const entries = Object.entries(this.#paths);
    for (const [, path] of entries) writeFileSync(path, "");
    this.environment = Object.fromEntries(
      entries.map(([name, path]) => [`GITHUB_${name.toUpperCase()}`, path]),
    );
  }

  /** Reads what the step wrote, and deletes the files. */
  take(): FileCommands {
    const errors: string[] = [];
    const read = (name: FileName): Record<string, string> => {
      try {
        return Object.fromEntries(parseKeyValues(readFileSync(this.#paths[name], "utf8")));
      } catch (error) {
        errors.push(`Unable to process file command '${name}' successfully: ${(error as Error).message}`);
        return {};
      }
    };
    const env = read("env");
    for (const name of Object.keys(env).filter((name) => name.toUpperCase() === "NODE_OPTIONS")) {
      errors.push(`Can't store ${name} output parameter using '$GITHUB_ENV' command.`);
      delete env[name];
    }
    let summary = readFileSync(this.#paths.step_summary, "utf8");
    const bytes = Buffer.byteLength(summary);
    if (bytes > SUMMARY_LIMIT_BYTES) {
      errors.push(`$GITHUB_STEP_SUMMARY upload aborted, supports content up to 1024k, got ${bytes >> 10}k`);
      summary = "";
    }
    const path = readFileSync(this.#paths.path, "utf8")
      .split(/\r\n|\r|\n/)
      .filter(Boolean);
    const taken = { outputs: read("output"), state: read("state"), env, path, summary, errors };
    for (const file of Object.values(this.#paths)) rmSync(file, { force: true });
    return taken;
  }
}

/** `NAME=VALUE` and `NAME<<DELIMITER`, lines ending at LF only. @throws Error for what a runner refuses, and with it the whole file. */
export function parseKeyValues(text: string): [string, string][] {
  const lines = text.split("\n");
  // The text after the last line's end is a line only if there is any.
  if (lines.at(-1) === "") lines.pop();
  const pairs: [string, string][] = [];
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? "";
    if (line === "") continue;
    const equals = line.indexOf("=");
    const here = line.indexOf("<<");
    if (equals >= 0 && (here < 0 || equals < here)) {
      pairs.push([line.slice(0, equals), line.slice(equals + 1)]);
      continue;
    }
    if (here < 0) throw new Error(`Invalid format '${line}'`);
    const key = line.slice(0, here);
    const delimiter = line.slice(here + 2);
    if (key === "" || delimiter === "")
      throw new Error(`Invalid format '${line}'. Name must not be empty and delimiter must not be empty`);
    const end = lines.indexOf(delimiter, at + 1);
    if (end < 0) throw new Error(`Invalid value. Matching delimiter not found '${delimiter}'`);
    pairs.push([key, lines.slice(at + 1, end).join("\n")]);
    at = end;
  }
  return pairs;
}
