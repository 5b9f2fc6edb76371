/** action.yml, and what a runner makes of `with:`. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";

export interface ActionManifest {
  main: string;
  post: string | undefined;
  /** Name → the default's text. */
  inputs: Record<string, string | undefined>;
}

/** @throws Error when it is no action of Node 24 */
export function readManifest(folder: string): ActionManifest {
  const { inputs = {}, runs } = parse(readFileSync(join(folder, "action.yml"), "utf8"));
  if (runs?.using !== "node24") throw new Error(`action.yml: using: ${runs?.using}, not node24`);
  const defaults = Object.entries(inputs as Record<string, { default?: unknown } | null>).map(
    ([name, input]): [string, string | undefined] => [
      name,
      input?.default === undefined || input.default === null ? undefined : String(input.default),
    ],
  );
  return { main: runs.main, post: runs.post, inputs: Object.fromEntries(defaults) };
}

/** What expressions may name: `github`, `matrix`, `steps`, … */
export type Contexts = Record<string, unknown>;

/** Evaluates `${{ a.b.c }}` and `${{ toJSON(a.b) }}`. @throws Error for another expression */
export function evaluate(text: string, contexts: Contexts): string {
  return text.replace(/\$\{\{\s*(.*?)\s*\}\}/g, (_whole, expression: string) => {
    const [, call, path = ""] = /^(?:(toJSON)\(\s*([\w.-]+)\s*\)|[\w.-]+)$/i.exec(expression) ?? [];
    if (call === undefined && !/^[\w.-]+$/.test(expression)) throw new Error(`can't evaluate ${expression}`);
    const value = (call === undefined ? expression : path)
      .split(".")
      .reduce<unknown>((sum, key) => (sum as Record<string, unknown> | null | undefined)?.[key], contexts);
    if (call !== undefined) return JSON.stringify(value ?? null, null, 2);
    return value === undefined || value === null ? "" : String(value);
  });
}

export interface StepInputs {
  env: Record<string, string>;
  warnings: string[];
}

/** `INPUT_*` of a step: spaces become `_`, hyphens stay, letters are upper case. */
export function inputEnvironment(
  { inputs }: ActionManifest,
  given: Record<string, string>,
  contexts: Contexts,
): StepInputs {
  const names = new Map(Object.keys(inputs).map((name) => [name.toLowerCase(), name]));
  const unexpected = Object.keys(given).filter((name) => !names.has(name.toLowerCase()));
  const values = { ...inputs };
  for (const [name, value] of Object.entries(given)) values[names.get(name.toLowerCase()) ?? name] = value;
  const env = Object.entries(values).map(([name, value]) => [
    `INPUT_${name.replaceAll(" ", "_").toUpperCase()}`,
    evaluate(value ?? "", contexts),
  ]);
  const warning = `Unexpected input(s) '${unexpected.join("', '")}', valid inputs are ['${Object.keys(inputs).join("', '")}']`;
  return { env: Object.fromEntries(env), warnings: unexpected.length === 0 ? [] : [warning] };
}
