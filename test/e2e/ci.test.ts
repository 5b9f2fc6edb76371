/** `thaw ci` as a user runs it. No machine is needed. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { thawBin, thawEnv } from "../helpers/thaw.ts";
import { Terminal } from "../helpers/tmux.ts";

const workflow = ".github/workflows/thaw.yml";
let repository: string;
beforeEach(() => {
  repository = mkdtempSync(join(tmpdir(), "thaw-ci-"));
  mkdirSync(join(repository, ".git"));
  writeFileSync(join(repository, "package.json"), '{"scripts":{"test":"node --test"}}');
  writeFileSync(join(repository, "package-lock.json"), "{}");
});
afterEach(() => rmSync(repository, { recursive: true, force: true }));

const bin = resolve(thawBin);
const thaw = (args: string[]) =>
  execa(process.execPath, [bin, ...args], {
    ...{ cwd: repository, env: thawEnv(), stdin: "ignore", reject: false, stripFinalNewline: false },
  });
const ci = (args: string[]) => thaw(["ci", ...args]);
/** Without control characters other than the ends of lines, and without what turns the direction of text. */
const isHarmless = (text: string): boolean => !/[\p{Cc}\p{Bidi_Control}]/u.test(text.replaceAll("\n", ""));
const read = (path: string): string => readFileSync(join(repository, path), "utf8");
const there = (): string[] => readdirSync(repository).sort();

describe("thaw ci init", () => {
  test("writes what thaw ci check and thaw project check find sound, and again the same", async () => {
    const first = await ci(["init", "--yes"]);
    expect(first).toMatchObject({ exitCode: 0, stdout: "" });
    expect(first.stderr).toMatch(
      /proposed by package\.json\n[\s\S]*\n {2}\+ {13}npm ci && npm test\n[\s\S]*written: /,
    );
    expect(await ci(["check"])).toMatchObject({ exitCode: 0, stdout: "1 file: nothing unsafe found\n" });
    expect((await thaw(["project", "check"])).stdout).toBe("thaw.yaml: 1 run, 0 templates\n");
    expect((await ci(["init", "--yes"])).stderr).toContain("written: nothing, all was there");
  });

  test("overwrites nothing unless told so, and shows what would change", async () => {
    await ci(["init", "--yes"]);
    const before = read(workflow);
    const refused = await ci(["init", "--yes", "--timeout", "5m"]);
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toMatch(
      /-\s+timeout: 20m\n\s+\+\s+timeout: 5m[\s\S]*would be overwritten; nothing was written/,
    );
    expect(read(workflow)).toBe(before);
    expect((await ci(["init", "--yes", "--timeout", "5m", "--force"])).exitCode).toBe(0);
    expect(read(workflow)).toContain("timeout: 5m\n");
  });

  test("without a terminal it asks nothing, and wrong answers are told all at once", async () => {
    expect(await ci(["init"])).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("--yes") });
    const wrong = await ci(["init", "--yes", "--timeout", "10", "--network", "@none", "--template", "A B"]);
    expect(wrong.exitCode).toBe(2);
    for (const name of ["timeout", "network", "template"]) expect(wrong.stderr).toContain(`\n  ${name}: `);
    expect((await ci(["init", "--yes", "--action", "v1"])).stderr).toContain("not a full commit id");
    expect(there()).toEqual([".git", "package-lock.json", "package.json"]);
  });

  test("a folder that leads elsewhere is not written to", async () => {
    const elsewhere = mkdtempSync(join(tmpdir(), "thaw-ci-elsewhere-"));
    try {
      symlinkSync(elsewhere, join(repository, ".github"));
      const refused = await ci(["init", "--yes", "--force"]);
      expect(refused).toMatchObject({
        exitCode: 2,
        stderr: expect.stringContaining("leads out of the repository"),
      });
      expect(readdirSync(elsewhere)).toEqual([]);
      expect(existsSync(join(repository, "thaw.yaml"))).toBe(false);
    } finally {
      rmSync(elsewhere, { recursive: true });
    }
  });

  test("asks on a terminal; Ctrl-C leaves nothing", async () => {
    await using terminal = await Terminal.open();
    await terminal.type(`cd ${repository}; clear`);
    await terminal.type("thaw ci init; echo code $?");
    await terminal.until("Where does it run?");
    await terminal.press("Down", "Enter");
    await terminal.until("Their labels");
    await terminal.press("C-c");
    await terminal.until("code 130");
    expect(there()).toEqual([".git", "package-lock.json", "package.json"]);
    await terminal.type(
      "clear; thaw ci init --template node --command 'make test' --network '' --timeout 1m; echo code $?",
    );
    await terminal.until("Where does it run?");
    await terminal.press("Enter");
    await terminal.until("code 0");
    expect(read(workflow)).toMatch(/timeout: 1m\n {10}run: \|\n {12}make test\n/);
  });
});

describe("thaw ci check", () => {
  test("tells place, rule, what could happen and the repair; a stranger's text reaches no terminal", async () => {
    mkdirSync(join(repository, ".github/workflows"), { recursive: true });
    const evil = `on: push\npermissions: {}\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps: [{ uses: "a/b@\\e[31m\\r\\u202Emain" }]\n`;
    writeFileSync(join(repository, ".github/workflows/x.yml"), evil);
    const told = await ci(["check"]);
    expect(told.exitCode).toBe(1);
    expect(told.stdout).toMatch(
      /^\.github\/workflows\/x\.yml:6:21: unpinned-action: .*\n {2}repair: .*\n1 finding in 1 file\n$/,
    );
    expect(isHarmless(told.stdout)).toBe(true);
    const { stdout, exitCode } = await ci(["check", "--json", ".github/workflows/x.yml"]);
    expect(exitCode).toBe(1);
    expect(JSON.parse(String(stdout))).toMatchObject({
      findings: [{ rule: "unpinned-action", file: ".github/workflows/x.yml", line: 6, column: 21 }],
      allowed: 0,
    });
  });

  test("nothing to check is said, with exit code 2", async () => {
    expect(await ci(["check"])).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining("no workflows"),
    });
    expect(await ci(["check", "nowhere"])).toMatchObject({ exitCode: 2 });
  });
});
