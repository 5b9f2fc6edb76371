import { ThawError } from "../errors.ts";
import { compileGlob } from "./glob.ts";

/** Larger files of rules are refused: nobody writes them. */
export const MAX_RULES_BYTES = 4 << 20;
const MAX_RULES = 100_000;

interface Rule {
  negative: boolean;
  foldersOnly: boolean;
  /** Compared with the name alone; else with the path from the rules' folder. */
  nameOnly: boolean;
  matches: (text: string) => boolean;
}

/** Takes trailing spaces off a line, unless they are escaped. */
function trimSpaces(line: string): string {
  let end = 0;
  for (let at = 0; at < line.length; at++) {
    if (line[at] === "\\") {
      at++;
      end = at + 1;
    } else if (line[at] !== " ") end = at + 1;
  }
  return line.slice(0, Math.max(end, 0));
}

function readRule(line: string, fold: boolean): Rule | undefined {
  const negative = line.startsWith("!");
  let pattern = negative ? line.slice(1) : line;
  const foldersOnly = pattern.endsWith("/");
  if (foldersOnly) pattern = pattern.slice(0, -1);
  const nameOnly = !pattern.includes("/");
  if (!nameOnly && pattern.startsWith("/")) pattern = pattern.slice(1);
  if (pattern === "" && !foldersOnly) return undefined;
  return { negative, foldersOnly, nameOnly, matches: compileGlob(pattern, { pathname: !nameOnly, fold }) };
}

/** Rules of one file, as gitignore(5) has them. Names and paths are latin1: a character for each byte. */
export class IgnoreRules {
  /** The folder that the rules are relative to, in the repository: empty, or ending with `/`. */
  readonly #base: string;
  readonly #rules: Rule[];

  private constructor(base: string, rules: Rule[]) {
    this.#base = base;
    this.#rules = rules;
  }

  /** @throws ThawError `usage` when there are too many. */
  static parse(content: Buffer, options: { base: string; fold: boolean; shown: string }): IgnoreRules {
    const text = content.toString("latin1").replace(/^\xef\xbb\xbf/, "");
    const lines = text
      .split("\n")
      .map((line) => line.replace(/\r$/, ""))
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => trimSpaces(line.split("\0", 1)[0] ?? ""));
    if (lines.length > MAX_RULES)
      throw new ThawError("usage", `${options.shown} has ${lines.length} rules; ${MAX_RULES} is the limit`);
    const rules = lines.map((line) => readRule(line, options.fold)).filter((rule) => rule !== undefined);
    return new IgnoreRules(options.base, rules.reverse());
  }

  /** True: ignored. False: named by a `!` rule. Undefined: these rules don't say. */
  test(path: string, directory: boolean): boolean | undefined {
    const inside = path.slice(this.#base.length);
    const name = inside.slice(inside.lastIndexOf("/") + 1);
    for (const rule of this.#rules) {
      if (rule.foldersOnly && !directory) continue;
      if (rule.matches(rule.nameOnly ? name : inside)) return !rule.negative;
    }
    return undefined;
  }
}
