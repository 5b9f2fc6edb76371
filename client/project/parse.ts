/** `thaw.yaml`: parsed, checked, every mistake at once with its line and column. */
import { type Document, LineCounter, parseDocument } from "yaml";
import { z } from "zod";
import { ThawError } from "../errors.ts";
import { describeIssues, type Mistake } from "./mistakes.ts";
import { offsetOf } from "./places.ts";
import { type CheckPath, type ProjectFile, projectSchema } from "./schema.ts";
import { findSecrets } from "./secrets.ts";

const MAX_ALIASES = 100;
const MAX_MISTAKES = 50;
const MAX_KEY_SHOWN = 60;

/** A mistake's or warning's line: `FILE:LINE:COLUMN: PATH: what`. */
interface Line {
  offset: number;
  text: string;
}

function shorten(key: PropertyKey): string {
  const text = String(key);
  return text.length <= MAX_KEY_SHOWN ? text : `${text.slice(0, MAX_KEY_SHOWN)}…`;
}

/** Keys that the schema knows at a path, as its JSON Schema tells. */
function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  type Shape = { properties?: Record<string, Shape>; additionalProperties?: Shape; anyOf?: Shape[] };
  const root = z.toJSONSchema(schema, { io: "input" }) as Shape;
  const shape = path.reduce<Shape | undefined>(
    (at, key) => at?.properties?.[String(key)] ?? at?.additionalProperties,
    root,
  );
  const maps = [shape, ...(shape?.anyOf ?? [])];
  return maps.flatMap((map) => Object.keys(map?.properties ?? {}));
}

/** Plain data; what YAML itself finds wrong, or aliases that unfold to more than anybody writes, is said in `mistakes`. */
function readData(document: Document.Parsed, mistakes: Line[]): unknown {
  for (const { pos, message } of [...document.errors, ...document.warnings])
    mistakes.push({ offset: pos[0], text: message });
  if (mistakes.length > 0) return undefined;
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES }) ?? {};
  } catch (error) {
    mistakes.push({ offset: 0, text: (error as Error).message });
    return undefined;
  }
}

/** What a project file says, and what its author should know. Throws `usage` with every mistake as `FILE:LINE:COLUMN: PATH: what`. */
export function parseProject(
  text: string,
  options: { file: string; checkPath: CheckPath },
): { content: ProjectFile; warnings: string[] } {
  const { file, checkPath } = options;
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const format = (found: readonly Line[]): string[] => {
    const told = found
      .toSorted((a, b) => a.offset - b.offset)
      .map(({ offset, text }) => {
        const { line, col } = lines.linePos(offset);
        return `${file}:${line}:${col}: ${text}`;
      });
    return [...new Set(told)];
  };
  const place = ({ path, about, message }: Mistake): Line => ({
    offset: offsetOf(document, path, about),
    text: path.length === 0 ? message : `${path.map(shorten).join(".")}: ${message}`,
  });

  const mistakes: Line[] = [];
  const data = readData(document, mistakes);
  if (mistakes.length === 0) {
    const schema = projectSchema(checkPath);
    const parsed = schema.safeParse(data);
    if (parsed.success) {
      const warnings = findSecrets(data).map(({ path, kind }) =>
        place({
          path,
          about: "value",
          message: `looks like ${kind}: secrets do not belong in a file; name the variable under mask`,
        }),
      );
      return { content: parsed.data, warnings: format(warnings) };
    }
    mistakes.push(...describeIssues(parsed.error.issues, data, (path) => keysAt(schema, path)).map(place));
  }
  const told = format(mistakes);
  const more = told.length - MAX_MISTAKES;
  throw new ThawError("usage", `${file} has ${told.length} mistake${told.length === 1 ? "" : "s"}`, {
    details: more > 0 ? [...told.slice(0, MAX_MISTAKES), `and ${more} more`] : told,
    hint: "correct them, then run: thaw project check",
  });
}
