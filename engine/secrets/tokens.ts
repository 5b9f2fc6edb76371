/** Shapes of well-known tokens: what a service's keys look like, whoever put them there. */
import { nextCandidate, windowHash, windowTable } from "./window.ts";

interface Shape {
  kind: string;
  /** One of these stands `at` bytes (default: 0) after the token's beginning. At least four bytes each. */
  marks: readonly string[];
  at?: number;
  /** Of the token from its beginning on, sticky. */
  pattern: RegExp;
}

/** JSON that begins with `{"` and a lower-case letter, in base64. */
const JWT_MARKS = [..."hijklmnopqrstuvwxyz0123456"].map((letter) => `eyJ${letter}`);

const SHAPES: readonly Shape[] = [
  { kind: "github-token", marks: ["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], pattern: /gh[pousr]_\w{36,251}/y },
  { kind: "github-token", marks: ["github_pat_"], pattern: /github_pat_\w{60,}/y },
  { kind: "gitlab-token", marks: ["glpat-"], pattern: /glpat-[\w-]{20,}/y },
  { kind: "aws-key-id", marks: ["AKIA", "ASIA"], pattern: /A[KS]IA[A-Z2-7]{16}(?![A-Za-z0-9])/y },
  {
    kind: "aws-secret-key",
    marks: ["aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"],
    pattern: /aws_secret_access_key["']?\s{0,4}[=:]\s{0,4}["']?[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])/iy,
  },
  {
    kind: "slack-token",
    marks: ["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-"],
    pattern: /xox[abeprs]-[\w-]{20,}/y,
  },
  { kind: "npm-token", marks: ["npm_"], pattern: /npm_[A-Za-z0-9]{36}(?!\w)/y },
  { kind: "pypi-token", marks: ["pypi-AgE"], pattern: /pypi-AgE[\w-]{50,}/y },
  { kind: "stripe-key", marks: ["sk_live_", "rk_live_"], pattern: /[rs]k_live_[A-Za-z0-9]{20,}/y },
  { kind: "google-api-key", marks: ["AIza"], pattern: /AIza[\w-]{35}(?![\w-])/y },
  { kind: "anthropic-key", marks: ["sk-ant-"], pattern: /sk-ant-[\w-]{32,}/y },
  { kind: "openai-key", marks: ["sk-proj-", "sk-svcacct-"], pattern: /sk-(?:proj|svcacct)-[\w-]{40,}/y },
  { kind: "openai-key", marks: ["T3BlbkFJ"], at: 23, pattern: /sk-\w{20}T3BlbkFJ\w{20}/y },
  { kind: "age-key", marks: ["AGE-SECRET-KEY-1"], pattern: /AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}/y },
  {
    kind: "private-key",
    marks: ["BEGIN "],
    at: 5,
    // The header alone is in every program that reads keys.
    pattern:
      /-----BEGIN (?:[A-Z]{2,10} )?PRIVATE KEY-----(?:\\n|\s){1,4}(?:[A-Za-z-]{4,20}: [^\n]{1,80}\s{1,4}){0,3}[A-Za-z0-9+/=]{40}/y,
  },
  {
    kind: "jwt",
    marks: JWT_MARKS,
    pattern: /eyJ[\w-]{10,2000}\.eyJ[\w-]{10,4000}\.[\w-]{20,}/y,
  },
];

const MULTIPLIER = 0x9e37_79b1;
const marked = SHAPES.flatMap((shape) =>
  shape.marks.map((text) => ({ shape, mark: Buffer.from(text, "latin1") })),
);
const byWindow = Map.groupBy(marked, ({ mark }) => windowHash(mark, 0, MULTIPLIER));
const table = windowTable(byWindow.keys(), MULTIPLIER);

/** Bytes that are looked at from a token's beginning on. */
export const LONGEST_TOKEN = 8192;
/** And before what it is known by. */
export const BEFORE_MARK = 32;
/** Fewer different letters than this: somebody's placeholder. */
const LETTERS = 8;

export interface TokenMatch {
  kind: string;
  start: number;
  end: number;
}

/** Those in `bytes`, from the left. One that the end cuts off may be found shorter than it is. */
export function* findTokens(bytes: Buffer): Generator<TokenMatch> {
  for (let at = nextCandidate(bytes, 0, table); at >= 0; ) {
    const found = tokenAt(bytes, at);
    if (found) yield found;
    at = nextCandidate(bytes, Math.max(at + 1, found?.end ?? 0), table);
  }
}

function tokenAt(bytes: Buffer, at: number): TokenMatch | null {
  for (const { shape, mark } of byWindow.get(windowHash(bytes, at, MULTIPLIER)) ?? []) {
    const start = at - (shape.at ?? 0);
    if (start < 0 || bytes.compare(mark, 0, mark.length, at, Math.min(at + mark.length, bytes.length)) !== 0)
      continue;
    const text = bytes.toString("latin1", start, Math.min(bytes.length, start + LONGEST_TOKEN));
    shape.pattern.lastIndex = 0;
    const [token] = shape.pattern.exec(text) ?? [];
    if (token === undefined || new Set(token).size < LETTERS || token.endsWith("EXAMPLE")) continue;
    return { kind: shape.kind, start, end: start + token.length };
  }
  return null;
}
