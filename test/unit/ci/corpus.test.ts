/** The corpus: each line with a comment `# ! RULE…` has these findings, all other lines have none. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { judge } from "../../../cli/ci/check/judge.ts";
import { rules } from "../../../cli/ci/check/rules.ts";
import { parseSource } from "../../../cli/ci/check/source.ts";

const folder = `${import.meta.dirname}/corpus`;
const files = readdirSync(folder).sort();

/** `FILE` or `a.yml`, `b.yml`… of a text that holds several, each under a line `#### PATH`. */
function split(name: string): { path: string; text: string }[] {
  const text = readFileSync(`${folder}/${name}`, "utf8");
  const parts = text.split(/^#### (\S+)\n/m);
  if (parts.length === 1) return [{ path: `.github/workflows/${name}`, text }];
  return parts
    .slice(1)
    .flatMap((path, index, all) => (index % 2 === 0 ? [{ path, text: all[index + 1] ?? "" }] : []));
}

function expected(parts: { path: string; text: string }[]): string[] {
  return parts.flatMap(({ path, text }) =>
    text.split("\n").flatMap((line, index) =>
      (/# !([ a-z-]+)$/.exec(line)?.[1] ?? "")
        .split(" ")
        .filter((rule) => rule !== "")
        .map((rule) => `${path}:${index + 1} ${rule}`),
    ),
  );
}

function found(parts: { path: string; text: string }[]): string[] {
  const inputs = parts.map(({ path, text }) => ({ file: path, path, source: parseSource(text) }));
  return judge(inputs).findings.map(({ file, line, rule }) => `${file}:${line} ${rule}`);
}

describe("thaw ci check", () => {
  test.each(files)("%s", (name) => {
    const parts = split(name);
    expect(found(parts).sort()).toEqual(expected(parts).sort());
  });

  test("every rule has a file that shows it, and one beside it that is good", () => {
    const shown = files.flatMap((name) => expected(split(name))).map((line) => line.split(" ")[1]);
    for (const { id } of rules) expect(shown).toContain(id);
    expect(files.filter((name) => expected(split(name)).length === 0).length).toBeGreaterThan(4);
  });
});
