/** Workflows that were written to hurt whoever reads them. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { findFiles } from "../../../cli/ci/check/files.ts";
import { judge } from "../../../cli/ci/check/judge.ts";
import { parseSource, readSource } from "../../../cli/ci/check/source.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "thaw-ci-check-"));
  mkdirSync(join(dir, ".git"));
  mkdirSync(join(dir, ".github/workflows"), { recursive: true });
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const messagesOf = (text: string): string[] =>
  judge([{ file: "w.yml", path: "w.yml", source: parseSource(text) }]).findings.map(
    ({ rule, message }) => `${rule}: ${message}`,
  );

/** Doubles with each line. */
const bomb = (lines: number, first: string): string =>
  Array.from({ length: lines }, (_, index) =>
    index === 0 ? `x0: &x0 ${first}` : `x${index}: &x${index} [*x${index - 1}, *x${index - 1}]`,
  ).join("\n");

describe("a workflow that is no workflow", () => {
  test.each([
    ["", "it is empty"],
    ["- a", "it is not a map"],
    ["just text", "it is not a map"],
    ["[".repeat(5000), "it is nested deeper"],
    [`on: ${"{a: ".repeat(5000)}`, "it is nested deeper"],
    ["- ".repeat(5000), "it is nested deeper"],
    [Array.from({ length: 5000 }, (_, index) => `${" ".repeat(index)}a:`).join("\n"), "it is nested deeper"],
    ["a: *nowhere", "nowhere"],
    ["a: &a [*a]\nb: !!binary x", ""],
  ])("%.20s", (text, message) => {
    const found = messagesOf(`${text}`);
    expect(found.join("\n")).toContain(message);
    if (message !== "") expect(found.join("\n")).toContain("unreadable");
  });

  test("aliases that unfold without end are refused, and circles end", () => {
    const steps = `on: pull_request\njobs:\n  a:\n    steps: [{ run: x, env: *x29 }, { uses: actions/checkout@v5 }, { run: x }]`;
    expect(messagesOf(`${bomb(30, "[a]")}\n${steps}`).join("\n")).toContain(
      "aliases expand to more than 50000",
    );
    const circle = `on: pull_request\njobs:\n  a: &a\n    env: { x: *a }\n    steps: [{ uses: actions/checkout@v5 }, { run: x }]`;
    expect(messagesOf(circle).join("\n")).toContain("unpinned-action");
    const steps2 = `on: push\nx: &x [${"{ run: x },".repeat(1000)}]\njobs: { ${Array.from({ length: 9 }, (_, index) => `j${index}: { steps: *x }`).join(",")} }`;
    expect(messagesOf(steps2).join("\n")).toContain("more than 5000 jobs and steps");
  });

  test("an expression without end, or nested without end", () => {
    const long = `on: pull_request_target\npermissions: {}\njobs: { a: { steps: [{ run: "echo \${{ ${"(".repeat(9000)}github.head_ref" }] } }`;
    expect(messagesOf(long).join("\n")).toContain("script-injection");
    const many = `on: pull_request_target\npermissions: {}\njobs: { a: { steps: [{ run: "${"${{ github.head_ref ".repeat(90)}" }] } }`;
    expect(messagesOf(many).join("\n")).toContain("script-injection");
  });
});

describe("a file that is no file", () => {
  test("10 MB, a link, a pipe's like, bytes that are no text", async () => {
    const at = (name: string): string => join(dir, ".github/workflows", name);
    writeFileSync(at("a.yml"), `on: push\n#${"x".repeat(10_000_000)}`);
    symlinkSync("/etc/passwd", at("b.yml"));
    writeFileSync(at("c.yml"), Buffer.from([0xff, 0xfe, 0x00]));
    mkdirSync(at("d.yml"));
    const found = findFiles([dir]);
    expect(found.map(({ inRepository }) => inRepository)).toEqual([
      ".github/workflows/a.yml",
      ".github/workflows/b.yml",
      ".github/workflows/c.yml",
    ]);
    const sources = await Promise.all(found.map(({ path, isNamed }) => readSource(path, isNamed)));
    const messages = sources.map(({ mistakes }) => mistakes.map(({ message }) => message).join());
    expect(messages[0]).toContain("more than 524288 bytes");
    expect(messages[1]).toContain("it is a link");
    expect(messages[2]).toContain("not valid");
    expect(sources.map(({ root }) => root?.isMap ?? false)).toEqual([false, false, false]);
  });

  test("a folder without workflows is said, not passed", () => {
    expect(() => findFiles([dir])).toThrow("there are no workflows");
    expect(() => findFiles([join(dir, "none.yml")])).toThrow("there is no");
  });
});
