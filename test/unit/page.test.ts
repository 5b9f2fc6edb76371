/** The page's pure parts, and what its build makes. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { visibleText } from "../../api/clean-text.ts";
import { describePlace } from "../../api/describe-failure.ts";
import { buildPage } from "../../scripts/build-page.ts";
import { parseLine, parseLines } from "../../web/parts/ansi.ts";
import { parseSearch, pick, stringifySearch } from "../../web/state/search.ts";
import { filterFailures, type Verdict } from "../../web/views/failures/rows.ts";
import { capture } from "./tui/world.ts";

const MAX_FIRST_LOAD_BYTES = 250_000;

test("the first load is small, each file has its compressed copies, and nothing is inline", async () => {
  const out = mkdtempSync(join(tmpdir(), "thaw-page-"));
  try {
    await buildPage({ root: join(import.meta.dirname, "../.."), out });
    const html = readFileSync(join(out, "index.html"), "utf8");
    const first = [...html.matchAll(/(?:src|href)="(\/assets\/[^"]+\.(?:js|css))"/g)].map(
      ([, path]) => path ?? "",
    );
    expect(first.length).toBeGreaterThan(1);
    const sizes = first.map((path) => {
      const all = readdirSync(join(out, "assets"));
      const name = path.slice("/assets/".length);
      return statSync(join(out, "assets", all.includes(`${name}.gz`) ? `${name}.gz` : name)).size;
    });
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(MAX_FIRST_LOAD_BYTES);
    for (const tag of html.match(/<script\b[^>]*>[^<]*/g) ?? [])
      expect(tag).toMatch(/^<script[^>]* src="\/assets\/[^>]*>$/);
    expect(html).not.toMatch(/<style|\sstyle=|\son\w+=|javascript:|https?:/);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
});

test("text that hides or turns is shown as marks", () => {
  expect(visibleText("a\x1b[31m\u202Etxt\u2066\r\n\x7f")).toBe("a␛[31m⟨U+202E⟩txt⟨U+2066⟩␍␊␡");
  expect(visibleText("日本語 👩‍💻 ok")).toBe("日本語 👩‍💻 ok");
  expect(visibleText("\ud800")).toBe("\ufffd");
});

test("output has its colours, and nothing else that a terminal would obey", () => {
  expect(parseLine("\x1b[31mred\x1b[0m \x1b[1;4mx\x1b[22m\x1b]0;title\x07y").pieces).toEqual([
    { text: "red", className: "fg-1" },
    { text: " ", className: "" },
    { text: "x", className: "bold underline" },
    { text: "y", className: "underline" },
  ]);
  expect(
    parseLine("\x1b[38;2;255;0;0ma\x1b[38;5;46mb\x1b[48;5;196mc").pieces.map(({ className }) => className),
  ).toEqual(["fg-9", "fg-10", "fg-10 bg-9"]);
  // a style goes on in the next line; a line that was written over shows its last text
  expect(parseLines(["\x1b[32ma", "10%\r20%\r"])).toEqual([
    [{ text: "a", className: "fg-2" }],
    [{ text: "20%", className: "fg-2" }],
  ]);
});

test("output of any size and shape is bounded", () => {
  const many = parseLine(Array.from({ length: 5000 }, (_, index) => `\x1b[3${index % 8}mx`).join("")).pieces;
  expect(many.length).toBeLessThan(500);
  expect(parseLine("x".repeat(1e6)).pieces.at(0)?.text.length).toBeLessThan(5000);
});

test("an address keeps what a view knows, as text, and drops the rest", () => {
  expect(pick(parseSearch("?pr=412&q=%22a%22&x=1&ref="), ["pr", "q", "ref"])).toEqual({
    pr: "412",
    q: '"a"',
  });
  expect(stringifySearch({ pr: "412", q: "", group: undefined, no: 3 })).toBe("?pr=412");
  expect(parseSearch(stringifySearch({ ref: 'evil"><&=%' }))).toEqual({ ref: 'evil"><&=%' });
});

test("failures are filtered by each of their properties, newest first", () => {
  const nowMs = Date.now();
  const at = (hours: number): string => new Date(nowMs - hours * 3_600_000).toISOString();
  const old = capture({ id: "fail-old000", createdAt: at(50), fingerprint: "aa00", trigger: "timeout" });
  const fresh = capture({ id: "fail-fresh0", createdAt: at(1), fingerprint: "bb00" });
  const verdictOf = (id: string): Verdict | undefined => (id === "fail-old000" ? "flaky" : undefined);
  const ids = (search: Record<string, string>) =>
    filterFailures([old, fresh], search, { nowMs, verdictOf }).map(({ id }) => id);
  expect(ids({})).toEqual(["fail-fresh0", "fail-old000"]);
  expect(ids({ age: "1d" })).toEqual(["fail-fresh0"]);
  expect(ids({ age: "nonsense" })).toEqual(["fail-fresh0", "fail-old000"]);
  expect(ids({ fingerprint: "aa" })).toEqual(["fail-old000"]);
  expect(ids({ trigger: "timeout" })).toEqual(["fail-old000"]);
  expect(ids({ verdict: "flaky" })).toEqual(["fail-old000"]);
  expect(ids({ repository: "acme/other" })).toEqual([]);
  expect(ids({ q: "fresh" })).toEqual(["fail-fresh0"]);
  expect(ids({ q: describePlace(fresh).slice(0, 6) })).toEqual(["fail-fresh0", "fail-old000"]);
});
