/** GitHub's expressions: where they stand in a text, and which contexts become part of their result. */
import { Lexer, Parser } from "@actions/expressions";
import {
  Binary,
  ContextAccess,
  type Expr,
  FunctionCall,
  Grouping,
  IndexAccess,
  Literal,
  Logical,
  Unary,
} from "@actions/expressions/ast";

/** A context's name and its keys, in lower case; `*` for one that is not known. */
export type Path = readonly string[];

const CONTEXTS = [
  ...[
    "github",
    "env",
    "vars",
    "job",
    "jobs",
    "steps",
    "runner",
    "secrets",
    "strategy",
    "matrix",
    "needs",
    "inputs",
  ],
];
const FUNCTIONS = ["always", "success", "failure", "cancelled", "hashFiles", "case"].map((name) => ({
  ...{ name, minArgs: 0, maxArgs: Number.MAX_SAFE_INTEGER },
}));
/** Their results are true, false or a digest. */
const HARMLESS = new Set([
  "contains",
  "startswith",
  "endswith",
  "hashfiles",
  "always",
  "success",
  "failure",
  "cancelled",
]);
const LONGEST = 21_000;

/** An expression of a text: what stands between `${{` and `}}`. */
export interface Found {
  body: string;
  /** With its brackets. */
  whole: string;
}

/** The expressions in a text. A `}}` within quotes ends none. */
export function findExpressions(text: string): Found[] {
  const found: Found[] = [];
  for (let start = text.indexOf("${{"); start >= 0; ) {
    let isQuoted = false;
    let end = start + 3;
    for (; end < text.length && (isQuoted || !text.startsWith("}}", end)); end += 1)
      if (text[end] === "'") isQuoted = !isQuoted;
    found.push({ body: text.slice(start + 3, end), whole: text.slice(start, end + 2) });
    start = text.indexOf("${{", end);
  }
  return found;
}

/** An expression's tree; undefined for one that GitHub would refuse. */
export function parseExpression(body: string): Expr | undefined {
  if (body.length > LONGEST) return undefined;
  try {
    return new Parser(new Lexer(body).lex().tokens, CONTEXTS, FUNCTIONS as never).parse();
  } catch {
    return undefined;
  }
}

/** The tree of an `if`, whose brackets may be left out. */
export function parseCondition(text: string): Expr | undefined {
  const [only, ...others] = findExpressions(text);
  if (only === undefined) return parseExpression(text);
  return others.length === 0 && text.trim() === only.whole ? parseExpression(only.body) : undefined;
}

/** What a chain of `.name` and `['name']` leads to; undefined when it does not begin with a context. */
export function pathOf(expression: Expr): Path | undefined {
  if (expression instanceof Grouping) return pathOf(expression.group);
  if (expression instanceof ContextAccess) return [expression.name.lexeme.toLowerCase()];
  if (!(expression instanceof IndexAccess)) return undefined;
  const before = pathOf(expression.expr);
  const { index } = expression;
  return before && [...before, index instanceof Literal ? index.literal.coerceString().toLowerCase() : "*"];
}

/** The parts of an expression whose value can become its own. */
function resultsOf(expression: Expr): Expr[] {
  if (expression instanceof Grouping) return [expression.group];
  if (expression instanceof Logical) {
    // of `a && b` the result is b, or what counts as false, which is no text
    return expression.operator.lexeme === "&&" ? expression.args.slice(-1) : expression.args;
  }
  if (expression instanceof FunctionCall)
    return HARMLESS.has(expression.functionName.lexeme.toLowerCase()) ? [] : expression.args;
  if (expression instanceof IndexAccess) return [expression.expr];
  return [];
}

/** Every part of an expression. */
function partsOf(expression: Expr): Expr[] {
  if (expression instanceof Grouping) return [expression.group];
  if (expression instanceof Logical || expression instanceof FunctionCall) return expression.args;
  if (expression instanceof Binary) return [expression.left, expression.right];
  if (expression instanceof Unary) return [expression.expr];
  if (expression instanceof IndexAccess) return [expression.expr, expression.index];
  return [];
}

function collect(expression: Expr, follow: (expression: Expr) => Expr[]): Path[] {
  const path = pathOf(expression);
  if (path === undefined) return follow(expression).flatMap((part) => collect(part, follow));
  if (follow !== partsOf) return [path];
  return [path, ...indexesOf(expression).flatMap((index) => collect(index, follow))];
}

/** What stands in the brackets of a chain. */
function indexesOf(expression: Expr): Expr[] {
  if (expression instanceof Grouping) return indexesOf(expression.group);
  return expression instanceof IndexAccess ? [...indexesOf(expression.expr), expression.index] : [];
}

/** Whatever looks like a context, of an expression that can't be parsed. */
function guessPaths(body: string): Path[] {
  const names = body.matchAll(/[a-z_][\w-]*(?:\s*(?:\.\s*[\w*-]+|\[[^\]]*\]))*/gi);
  return [...names].map(([name]) =>
    name
      .toLowerCase()
      .split(/[.[\]'\s]+/)
      .filter((part) => part !== ""),
  );
}

/** The contexts whose text becomes part of an expression's result. */
export function flowsOf(body: string): Path[] {
  const expression = parseExpression(body);
  return expression === undefined ? guessPaths(body) : collect(expression, resultsOf);
}

/** Every context that an expression names. */
export function mentionsOf(body: string): Path[] {
  const expression = parseExpression(body);
  return expression === undefined ? guessPaths(body) : collect(expression, partsOf);
}
