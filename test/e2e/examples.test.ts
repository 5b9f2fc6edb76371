/**
 * docs/EXAMPLES.md, word for word: the files of each example, its commands and what they print. Templates that take minutes to build are used when
 * THAW_TEST_TEMPLATES is `all`.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { execa } from "execa";
import { expect, test } from "vitest";
import { thawBin, thawEnv } from "../helpers/thaw.ts";

const QUICK = ["Shell", "Python"];

interface Example {
  title: string;
  files: Map<string, string>;
  commands: { line: string; prints: string }[];
}

function examplesIn(page: string): Example[] {
  return page
    .split(/^## /m)
    .slice(1)
    .map((section) => {
      const files = [...section.matchAll(/^`([^`\n]+)`:\n\n```\w+\n([\s\S]*?)^```$/gm)];
      const consoles = [...section.matchAll(/^```console\n\$ (.*)\n([\s\S]*?)^```$/gm)];
      return {
        title: section.split("\n", 1)[0] ?? "",
        files: new Map(files.map(([, name = "", text = ""]) => [name, text])),
        // The others need the internet.
        commands: consoles
          .map(([, line = "", prints = ""]) => ({ line, prints }))
          .filter(({ line }) => !line.includes(" --allow ")),
      };
    })
    .filter(({ commands }) => commands.length > 0);
}

const examples = examplesIn(await readFile("docs/EXAMPLES.md", "utf8"));

test("each shipped language has an example", () => {
  expect(examples.map(({ title, commands }) => [title, commands.length])).toEqual(
    ["Shell", "Node.js", "Python", "Go", "Rust", "Java"].map((title) => [title, 1]),
  );
});

test.for(examples)("$title", { timeout: 1_500_000 }, async ({ title, files, commands }, { skip }) => {
  skip(
    process.env.THAW_TEST_TEMPLATES !== "all" && !QUICK.includes(title),
    "THAW_TEST_TEMPLATES is not `all`",
  );
  const folder = await mkdtemp("/tmp/thaw-example-");
  try {
    for (const [name, text] of files) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), text);
    }
    const bin = resolve(thawBin);
    for (const { line, prints } of commands) {
      const script = `thaw() { "${process.execPath}" "${bin}" "$@"; }\n${line}\n`;
      const options = { cwd: folder, env: thawEnv(), reject: false, stripFinalNewline: false } as const;
      const { exitCode, stdout, stderr } = await execa("sh", ["-c", script], options);
      expect([exitCode, stdout], stderr).toEqual([0, prints]);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});
