/** A workflow's file: read within bounds, parsed, its mistakes as findings. */
import { lstatSync } from "node:fs";
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  LineCounter,
  parseAllDocuments,
  visit,
  type YAMLMap,
} from "yaml";
import { readBounded } from "../../../client/index.ts";
import { Nodes, type Value } from "./value.ts";

const MAX_BYTES = 524_288;
/** Deeper than any workflow; a parser that calls itself for each level has room for more. */
const MAX_NESTING = 200;
const MAX_INDENT = 2 * MAX_NESTING;
const MAX_MISTAKES = 20;

/** A file that was read: its first document, and what keeps it from being understood. */
export interface Source {
  text: string;
  root: Value | undefined;
  mistakes: Mistake[];
  /** Line and column, from 1. */
  place: (offset: number) => { line: number; column: number };
}

/** Counts brackets that are open, and what a line's first word is indented by: blocks can't nest deeper. */
function isNestedTooDeep(text: string): boolean {
  let depth = 0;
  for (const line of text.split("\n")) {
    if ((/^[ \-?:]*/.exec(line)?.[0].length ?? 0) > MAX_INDENT) return true;
    for (const letter of line) {
      if (letter === "[" || letter === "{") depth += 1;
      else if (letter === "]" || letter === "}") depth = Math.max(0, depth - 1);
      if (depth > MAX_NESTING) return true;
    }
  }
  return false;
}

interface Mistake {
  offset: number;
  message: string;
}

function findMistakesOfKeys(map: YAMLMap): Mistake[] {
  const seen = new Set<string>();
  return map.items.flatMap(({ key }) => {
    if (!isScalar(key)) return [];
    const offset = key.range?.[0] ?? 0;
    const name = String(key.value);
    if (name === "<<") return [{ offset, message: "GitHub knows no merge keys (<<)" }];
    if (seen.has(name)) return [{ offset, message: `the key ${name} is there twice` }];
    seen.add(name);
    return [];
  });
}

/** What the parser lets pass and GitHub does not. */
function findMistakes(document: Document): Mistake[] {
  const found: Mistake[] = [];
  const anchors = new Set<string>();
  visit(document, {
    Node: (_, node) => {
      if (isAlias(node)) {
        if (anchors.has(node.source)) return;
        found.push({ offset: node.range?.[0] ?? 0, message: `there is no anchor &${node.source} above` });
      } else if (node.anchor !== undefined) anchors.add(node.anchor);
      if (isMap(node)) found.push(...findMistakesOfKeys(node));
    },
  });
  return found.slice(0, MAX_MISTAKES);
}

export function parseSource(text: string): Source {
  const lines = new LineCounter();
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const unreadable = (message: string): Source => ({
    text,
    root: undefined,
    mistakes: [{ offset: 0, message }],
    place,
  });
  if (isNestedTooDeep(text)) return unreadable(`it is nested deeper than ${MAX_NESTING} levels`);
  try {
    // its own search for repeated keys compares each with each
    const options = {
      lineCounter: lines,
      prettyErrors: false,
      uniqueKeys: false,
      logLevel: "error",
    } as const;
    const parsed = parseAllDocuments(text, options);
    const documents = Array.isArray(parsed) ? parsed : [];
    const [first, second] = documents;
    const mistakes = documents.flatMap(({ errors }) =>
      errors.slice(0, MAX_MISTAKES).map(({ pos, message }) => ({ offset: pos[0], message })),
    );
    if (second !== undefined)
      mistakes.push({
        offset: second.range[0],
        message: "a second document follows, which GitHub does not run",
      });
    if (first === undefined) return unreadable("it is empty");
    mistakes.push(...findMistakes(first));
    return { text, root: new Nodes(first).open(first.contents), mistakes, place };
  } catch (error) {
    return unreadable((error as Error).message);
  }
}

/** Reads a file that the caller named or that was found. */
export async function readSource(path: string, isNamed: boolean): Promise<Source> {
  if (!isNamed && lstatSync(path).isSymbolicLink()) {
    const source = parseSource("");
    return { ...source, mistakes: [{ offset: 0, message: "it is a link, which GitHub does not follow" }] };
  }
  try {
    return parseSource(await readBounded(path, { maxBytes: MAX_BYTES, hint: "name other files" }));
  } catch (error) {
    const source = parseSource("");
    return { ...source, mistakes: [{ offset: 0, message: (error as Error).message }] };
  }
}
