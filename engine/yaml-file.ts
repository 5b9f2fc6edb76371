/** YAML files that people write: parsed and checked, every mistake at once with its line and column. */
import { type Document, isNode, LineCounter, parseDocument, type YAMLMap } from "yaml";
import type { z } from "zod";

/**
 * The content of a file; an empty file is an empty map. Else its mistakes, each as `FILE:LINE:COLUMN: KEY: what`.
 * @param whole what a mistake of the file as a whole is said to be of
 */
export function checkYaml<S extends z.ZodType>(
  text: string,
  { file, shape, whole }: { file: string; shape: S; whole: string },
): { value: z.output<S> } | { mistakes: string[] } {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const mistakes = document.errors.map((error) => `${at(error.pos[0])}: ${error.message}`);
  if (mistakes.length > 0) return { mistakes };
  const raw = unfolded(document, mistakes) ?? {};
  if (mistakes.length > 0) return { mistakes };
  const parsed = shape.safeParse(raw);
  if (parsed.success) return { value: parsed.data };
  const placed = parsed.error.issues.flatMap(placesOf);
  return {
    mistakes: placed.map(
      ([path, message]) => `${at(offsetOf(document.contents, path))}: ${path.join(".") || whole}: ${message}`,
    ),
  };
}

/** Aliases that would unfold to more than anybody writes are a mistake like any other. */
function unfolded(document: Document.Parsed, mistakes: string[]): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    mistakes.push((error as Error).message);
    return undefined;
  }
}

/** An issue's place: for unknown keys the keys themselves. */
function placesOf(issue: z.core.$ZodIssue): [PropertyKey[], string][] {
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((key) => [[...issue.path, key], "there is no such key"]);
  if (issue.code === "invalid_union" && issue.message === "Invalid input") {
    const first = issue.errors.flat()[0];
    return [[issue.path, first ? `${first.message}` : issue.message]];
  }
  return [[issue.path, issue.message]];
}

/** Byte offset of the deepest node that exists on a path; of a key when the key itself is the matter. */
function offsetOf(root: unknown, path: PropertyKey[]): number {
  let node = root;
  let offset = isNode(root) ? (root.range?.[0] ?? 0) : 0;
  for (const key of path) {
    const map = node as YAMLMap | null;
    const pair = map?.items?.find((item) => String((item as { key?: unknown }).key) === String(key)) as
      | { key?: unknown; value?: unknown }
      | undefined;
    const found =
      pair?.value ?? (Array.isArray(map?.items) && typeof key === "number" ? map.items[key] : undefined);
    if (pair && isNode(pair.key)) offset = pair.key.range?.[0] ?? offset;
    else if (isNode(found)) offset = found.range?.[0] ?? offset;
    if (!isNode(found)) break;
    node = found;
  }
  return offset;
}
