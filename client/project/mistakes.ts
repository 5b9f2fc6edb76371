import type { z } from "zod";
import { suggestNearest } from "../../api/nearest.ts";
import { looksSecret } from "./secrets.ts";

/** What is wrong at a place of the file. `about` says whether the key or its value is the matter. */
export interface Mistake {
  path: readonly PropertyKey[];
  about: "key" | "value";
  message: string;
}

const MAX_SHOWN = 60;

/** What a path leads to in plain data; undefined when nothing. */
function valueAt(data: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) =>
      typeof value === "object" && value !== null && Object.hasOwn(value, key)
        ? (value as Record<PropertyKey, unknown>)[key]
        : undefined,
    data,
  );
}

/** A value as a mistake shows it: short, and no secret. */
function show(value: unknown): string {
  if (value === null) return "nothing";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value === "object") return "a map";
  if (typeof value === "string" && looksSecret(value) !== undefined) return "the value";
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN)}…`;
}

/** The innermost issues that say most: of a union those inside its lists and maps, else the union's own. */
function innermost(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== "invalid_union") return [issue];
  const inside = issue.errors
    .flat()
    .filter(({ path, code }) => path.length > 0 || code === "unrecognized_keys");
  if (inside.length === 0) return [issue];
  return inside.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }));
}

/** The keys allowed beside an unknown one. */
export type KeysAt = (path: readonly PropertyKey[]) => readonly string[];

/** The mistakes that issues of the schema are, told with the values they are about. */
export function describeIssues(
  issues: readonly z.core.$ZodIssue[],
  data: unknown,
  keysAt: KeysAt,
): Mistake[] {
  return issues.flatMap(innermost).flatMap((issue): Mistake[] => {
    const { path, message } = issue;
    if (issue.code === "unrecognized_keys") {
      const keys = keysAt(path);
      return issue.keys.map((key) => ({
        path: [...path, key],
        about: "key",
        message: `there is no such key; ${suggestNearest(key, keys, `the keys are ${keys.join(", ")}`)}`,
      }));
    }
    if (issue.code === "custom" && issue.params?.about === "key")
      return [{ path, about: "key", message: `${show(path.at(-1))} is not ${message}` }];
    // It names its value by itself.
    if (issue.code === "custom" && issue.params?.whole === true) return [{ path, about: "value", message }];
    const value = valueAt(data, path);
    return [
      {
        path,
        about: "value",
        message: value === undefined ? `missing: ${message}` : `${show(value)} is not ${message}`,
      },
    ];
  });
}
