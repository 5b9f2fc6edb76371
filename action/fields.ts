/** Parsers of single inputs. Each throws RangeError with what is wrong and what would be right. */
import { suggestNearest } from "../api/nearest.ts";
import { RUNNER_PATTERN, RUNNER_PHRASE } from "../api/patterns.ts";
import { mistakesIn, type NetworkRequest, networkModes } from "../client/index.ts";

/** Lines without comments and blank ones. */
export function parseLines(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
}

/** Words between blanks, commas and newlines. */
export function parseWords(text: string): string[] {
  return parseLines(text).flatMap((line) => line.split(/[\s,]+/).filter((word) => word !== ""));
}

export function parseChoice<const T extends string>(choices: readonly T[]): (text: string) => T {
  return (text) => {
    const found = choices.find((choice) => choice === text.trim().toLowerCase());
    if (found !== undefined) return found;
    const hint = suggestNearest(text.trim(), choices, `one of ${choices.join(", ")}`);
    throw new RangeError(`${quote(text)} is not a valid value: ${hint}`);
  };
}

/** A whole number of a range. */
export function parseCount(least: number, most: number): (text: string) => number {
  return (text) => {
    const count = Number(text);
    if (/^\d{1,9}$/.test(text.trim()) && count >= least && count <= most) return count;
    throw new RangeError(`${quote(text)} is not a number from ${least} to ${most}.`);
  };
}

/** `none`, `open` or `audit`, and rules: `@npm`, `api.example.com`, and with `!` before it what is denied. */
export function parseNetwork(text: string): NetworkRequest {
  const words = parseWords(text);
  const isMode = (word: string): word is (typeof networkModes)[number] =>
    (networkModes as readonly string[]).includes(word);
  const modes = words.filter(isMode);
  const rules = words.filter((word) => !isMode(word));
  if (modes.length > 1)
    throw new RangeError(`give only one of ${networkModes.join(", ")}, not ${modes.join(" and ")}`);
  const allow = rules.filter((rule) => !rule.startsWith("!"));
  const deny = rules.filter((rule) => rule.startsWith("!")).map((rule) => rule.slice(1));
  const mistakes = mistakesIn({ allow, deny });
  if (mistakes.length > 0) throw new RangeError(mistakes.join("; "));
  return [{ ...(modes[0] === undefined ? {} : { mode: modes[0] }), allow, deny, from: "workflow" }];
}

/** How long a sandbox stays. */
export function parseKeep(text: string): "step" | "job" | "after" {
  const choice = parseChoice(["false", "step", "job", "true"])(text);
  if (choice === "job") return "job";
  return choice === "true" ? "after" : "step";
}

/** Where a capture is kept. */
export type CaptureStore =
  | { kind: "host" }
  /** Artifacts of the workflow's run. */
  | { kind: "artifact" }
  /** `oci:HOST/NAME`; each capture gets a tag of its own. */
  | { kind: "registry"; repository: string };

export function parseStore(text: string): CaptureStore {
  const store = text.trim();
  if (store === "host" || store === "artifact") return { kind: store };
  if (/^oci:[^@/]+\/[^:@]+$/.test(store)) return { kind: "registry", repository: store };
  throw new RangeError(
    `${quote(text)} is not host, artifact or oci:HOST/REPOSITORY (without a tag: each capture gets its own)`,
  );
}

/** A sandbox's name, id, or a beginning of its id. */
export function parseSandbox(text: string): string {
  if (/^[a-z0-9][a-z0-9-]{0,63}$/.test(text.trim())) return text.trim();
  throw new RangeError(
    `${quote(text)} is not the name of a sandbox: use the output \`sandbox\` of an earlier step`,
  );
}

/** What is thawed, on one line. */
export function parseSource(text: string): string {
  if (/^[^\s\p{Cc}]{1,200}$/u.test(text.trim())) return text.trim();
  throw new RangeError(`${quote(text)} is not a valid name`);
}

export function parseRunner(text: string): string {
  if (RUNNER_PATTERN.test(text.trim())) return text.trim();
  throw new RangeError(`${quote(text)} is not ${RUNNER_PHRASE}`);
}

/** Globs beneath /workspace, one a line. */
export function parsePatterns(text: string): string[] {
  const patterns = parseLines(text).map((line) => line.replace(/^(\.\/)+/, "").replace(/\/+$/, ""));
  const wrong = patterns.filter(
    (line) => line === "" || line.startsWith("/") || line.split("/").includes(".."),
  );
  if (wrong.length > 0)
    throw new RangeError(
      `${wrong.map(quote).join(", ")}: give paths and globs relative to the workspace, without ..`,
    );
  return patterns;
}

/** Tokens and files of the runner. Nothing in a sandbox has a use for them, and whoever has them acts for the job. */
const RUNNERS_OWN =
  /^(INPUT_.*|STATE_.*|ACTIONS_.*|GITHUB_(ENV|OUTPUT|PATH|STATE|STEP_SUMMARY|EVENT_PATH|ACTION_PATH|WORKSPACE)|RUNNER_.*)$/i;

/** `NAME=VALUE`, or `NAME` with its value in `env`. */
export function parseVariables(
  text: string,
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const mistakes: string[] = [];
  const pairs = parseLines(text).flatMap((line): [string, string][] => {
    const at = line.indexOf("=");
    const name = (at < 0 ? line : line.slice(0, at)).trim();
    const value = at < 0 ? env[name] : line.slice(at + 1);
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) mistakes.push(`${quote(name)} is not a valid variable name`);
    else if (RUNNERS_OWN.test(name))
      mistakes.push(`${name} belongs to the runner and is never passed to a sandbox`);
    else if (value === undefined)
      mistakes.push(`${name} has no value: write ${name}=…, or set it in the step's env`);
    else return [[name, value]];
    return [];
  });
  if (mistakes.length > 0) throw new RangeError(mistakes.join("; "));
  return Object.fromEntries(pairs);
}

/** Names of outputs, as workflows can name them. */
export function parseOutputNames(text: string): string[] {
  const names = [...new Set(parseWords(text))];
  const wrong = names.filter((name) => !/^[A-Za-z_][A-Za-z0-9_-]{0,99}$/.test(name));
  if (wrong.length > 0)
    throw new RangeError(
      `${wrong.map(quote).join(", ")}: an output name consists of letters, digits, _ and -`,
    );
  return names;
}

/** Values of the job's matrix as `os=linux, node=24`; empty without one. */
export function parseMatrix(text: string): string {
  try {
    const matrix: unknown = JSON.parse(text);
    if (typeof matrix !== "object" || matrix === null) return "";
    return Object.entries(matrix)
      .map(([name, value]) => `${name}=${typeof value === "object" ? JSON.stringify(value) : String(value)}`)
      .join(", ");
  } catch {
    return "";
  }
}

/** A value in a message: short, and on one line. */
export function quote(text: string): string {
  const shown = JSON.stringify(text.trim());
  return shown.length <= 80 ? shown : `${shown.slice(0, 79)}…`;
}
