import { ThawError } from "../../client/index.ts";
import { cleanText } from "./clean-text.ts";

/** What docker calls some fields. */
const ALIASES: Readonly<Record<string, string>> = {
  names: "name",
  status: "state",
  image: "from",
  created: "createdAt",
  config: "resources",
};

/** A field of an object by its name in any case, or by docker's name for it. */
function readField(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  const wanted = name.toLowerCase();
  const fields = Object.keys(value);
  const key =
    fields.find((field) => field === name) ??
    fields.find((field) => field.toLowerCase() === wanted) ??
    fields.find((field) => field === ALIASES[wanted]);
  return key === undefined ? undefined : (value as Record<string, unknown>)[key];
}

function show(value: unknown): string {
  return cleanText(typeof value === "string" ? value : JSON.stringify(value));
}

/**
 * Fills `{{.field}}` and `{{.field.inner}}` in with what `--json` has; `{{json .}}` is all of it, `json` the same.
 * @throws ThawError `usage` for a field that is not there, or another function
 */
export function formatTemplate(template: string, value: unknown): string {
  if (template === "json") return JSON.stringify(value);
  return template
    .replaceAll("\\t", "\t")
    .replaceAll("\\n", "\n")
    .replace(/\{\{\s*(.*?)\s*\}\}/g, (_, inner: string) => {
      const [, json, path] = /^(json\s+)?\.([\w.-]*)$/.exec(inner) ?? [];
      if (path === undefined)
        throw new ThawError("usage", `--format does not know {{${inner}}}`, {
          hint: "'{{.name}} {{json .labels}}'",
        });
      const found = path === "" ? value : path.split(".").reduce(readField, value);
      if (found === undefined)
        throw new ThawError("usage", `--format: there is no field ${path}`, {
          hint: `one of: ${Object.keys(value as object).join(", ")}`,
        });
      return json === undefined ? show(found) : JSON.stringify(found);
    });
}
