/** The harness follows the runner: its parser, its files, its signals, its clean-up. The action here is a small one of its own. */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { COMMANDS, CommandManager, parseCommand } from "../action-runner/commands.ts";
import { parseKeyValues } from "../action-runner/file-commands.ts";
import { evaluate } from "../action-runner/inputs.ts";
import { Job, type StepResult } from "../action-runner/job.ts";
import { LineReader } from "../action-runner/lines.ts";
import { isAlive, until } from "../helpers/processes.ts";

const FIXTURE = resolve("test/fixtures/action");
/** An expression of a workflow. */
const expression = (text: string): string => `\${{ ${text} }}`;
const known = (name: string): boolean => (COMMANDS as readonly string[]).includes(name.toLowerCase());

function cut(...chunks: (string | Buffer)[]): string[] {
  const lines: string[] = [];
  const reader = new LineReader((line) => lines.push(line));
  for (const chunk of chunks) reader.write(Buffer.from(chunk));
  reader.end();
  return lines;
}

async function runFixture(script: string): Promise<StepResult> {
  await using job = new Job({ action: FIXTURE });
  return await job.step({ with: { script } });
}

describe("lines of a log", () => {
  test.each<[string, (string | Buffer)[], string[]]>([
    ["LF, CR and CR LF", ["a\nb\rc\r\nd"], ["a", "b", "c", "d"]],
    ["CR LF over two chunks", ["abc\r", "\nd\n"], ["abc", "d"]],
    ["CR and then an empty line", ["abc\r", "\r", "\n", "\n"], ["abc", "", ""]],
    ["a line in pieces", ["abc", "def", "g\nh"], ["abcdefg", "h"]],
    ["a character in pieces", [Buffer.from("abc"), Buffer.from([0xc3]), Buffer.from([0xa4, 0x0a])], ["abcä"]],
    ["what is no UTF-8", [Buffer.from([0x61, 0xff, 0x62, 0x0a])], ["a\ufffdb"]],
    ["a mark of UTF-8", [Buffer.from([0xef, 0xbb]), Buffer.from([0xbf, 0x3a, 0x0a])], [":"]],
    ["a mark of UTF-16", [Buffer.from("\ufeff::x\n", "utf16le")], ["::x"]],
    ["nothing", [], []],
  ])("%s", (_what, chunks, lines) => expect(cut(...chunks)).toEqual(lines));
});

describe("a line is a command", () => {
  test.each([
    ["::error::x", "error"],
    ["\ufeff::error::x", "error"],
    [" \t\u00a0\u0085::ERROR file=a,line=1::x", "error"],
    ["text ##[Error]x", "error"],
    ["::nothing::##[group]x", "group"],
    ["::set-output name=a%2Cb::c%0Ad", "set-output"],
  ])("%j", (line, name) => expect(parseCommand(line, known)?.name).toBe(name));

  test.each(["text ::error::x", ":error::x", "::error", "##[error", "##[ error]x", "::er ror::x"])(
    "but not %j",
    (line) => expect(parseCommand(line, known)).toBeUndefined(),
  );

  test("with its properties and data unescaped", () =>
    expect(parseCommand("::set-output name=a%2Cb,x=::c%0Ad%25", known)).toMatchObject({
      properties: { name: "a,b" },
      data: "c\nd%",
    }));

  test("unless a fence is up, which only its token takes down, from either stream", () => {
    const manager = new CommandManager();
    for (const line of ["::stop-commands::token-7", "::error::a", "::token-8::", "##[error]b"])
      manager.process(line, "stdout");
    manager.process("::TOKEN-7::", "stderr");
    manager.process("::error::c", "stdout");
    expect(manager.honoured.map(({ line }) => line)).toEqual(["::stop-commands::token-7", "::error::c"]);
    expect(manager.fenced.map(({ line }) => line)).toEqual(["::error::a", "##[error]b"]);
  });

  test("and a fence with the name of a command is none", () => {
    const manager = new CommandManager();
    for (const line of ["::stop-commands::warning", "::error::a"]) manager.process(line, "stdout");
    expect(manager.stopped).toBe(false);
  });
});

describe("the files", () => {
  test.each([
    [
      "a=b\n\nc<<E\n1\n2\nE\n",
      [
        ["a", "b"],
        ["c", "1\n2"],
      ],
    ],
    ["a=b<<c\r\n", [["a", "b<<c\r"]]],
    [
      "a<<E\nE\nb=\n",
      [
        ["a", ""],
        ["b", ""],
      ],
    ],
    ["a<<E\n\nE", [["a", ""]]],
  ])("%j", (text, pairs) => expect(parseKeyValues(text)).toEqual(pairs));

  test.each(["a", "a<<", "<<E\nE\n", "a<<E\n1\n"])("%j is refused", (text) =>
    expect(() => parseKeyValues(text)).toThrow("Invalid"),
  );
});

test("expressions of defaults", () => {
  const contexts = { github: { token: "t" }, matrix: { os: "a" } };
  expect(evaluate(`x ${expression("github.token")} ${expression("github.none")}`, contexts)).toBe("x t ");
  expect(JSON.parse(evaluate(expression("toJSON(matrix)"), contexts))).toEqual({ os: "a" });
  expect(() => evaluate(expression("a && b"), contexts)).toThrow("can't evaluate");
});

describe("a job", () => {
  test("gives inputs, files, state and the outputs of one step to the next", async () => {
    await using job = new Job({ action: FIXTURE, env: { OF_JOB: "1" } });
    const first = await job.step({
      with: {
        script:
          "append(env.GITHUB_OUTPUT, 'given=' + JSON.stringify(inputs) + '\\n'); append(env.GITHUB_STATE, 'kept=1\\n')",
      },
      id: "first",
    });
    const inputs = JSON.parse(first.outputs.given ?? "");
    expect(inputs).toMatchObject({
      INPUT_TWO_WORDS: "a default",
      "INPUT_WORKING-DIRECTORY": "",
      INPUT_TOKEN: job.secrets.githubToken,
      INPUT_MATRIX: "null",
    });
    const second = await job.step({
      with: {
        script: "console.log(env.INPUT_TWO_WORDS.length, env.OF_JOB, env.CI, 'GITHUB_TOKEN' in env)",
        "Two Words": expression("steps.first.outputs.given"),
        other: "1",
      },
    });
    expect(second.log).toEqual([`${first.outputs.given?.length} 1 true false`]);
    expect(second.warnings).toEqual([expect.stringContaining("'other'")]);
    expect((await job.end()).posts.map(({ log }) => log)).toEqual([["post {}"], ['post {"STATE_kept":"1"}']]);
  });

  test.each([
    ["process.exitCode = 3", "failure", 3],
    ["append(env.GITHUB_OUTPUT, 'x<<E\\n')", "failure", 0],
    ["append(env.GITHUB_STEP_SUMMARY, 'x'.repeat(1 << 21))", "failure", 0],
    ["", "success", 0],
  ])("%s: %s", async (script, conclusion, exitCode) =>
    expect(await runFixture(script)).toMatchObject({ conclusion, exitCode, summary: "" }),
  );

  test("keeps the start and the end of a long log, and says how much it left out", async () => {
    const { log, leftOut, bytes } = await runFixture(
      "const line = 'x'.repeat(99) + '\\n'; for (let n = 0; n < 100; n++) process.stdout.write(line.repeat(1000)); console.log('end')",
    );
    expect(log.at(-1)).toBe("end");
    expect(log.length + leftOut).toBe(100_001);
    expect(leftOut).toBeGreaterThan(0);
    expect(bytes).toBe(10_000_004);
  });

  test("cancels with SIGINT, SIGTERM and SIGKILL, each to the process alone, and runs post all the same", async () => {
    await using job = new Job({ action: FIXTURE });
    const step = job.start({
      with: {
        script: `const child = spawn("sleep", ["60"], { stdio: "inherit" });
          append(env.GITHUB_STATE, "child=" + child.pid + "\\n");
          for (const name of ["SIGINT", "SIGTERM"]) process.on(name, () => console.log("got", name));
          console.log("ready"); setInterval(() => {}, 1000)`,
      },
    });
    await step.line(/^ready$/);
    await step.process.cancel();
    const { log, signal, conclusion, heldMs, state } = await step.result;
    expect({ log, signal, conclusion }).toEqual({
      log: ["ready", "got SIGINT", "got SIGTERM"],
      signal: "SIGKILL",
      conclusion: "cancelled",
    });
    expect(heldMs).toBeGreaterThan(4900);
    expect(isAlive(Number(state.child))).toBe(true);
    const { posts, orphans } = await job.end();
    expect(posts).toMatchObject([{ log: [`post {"STATE_child":"${state.child}"}`] }]);
    expect(orphans).toEqual(["sleep"]);
    await until(() => !isAlive(Number(state.child)), "the orphan's end");
  });

  test("spares what has lost the tracking id, and deletes the action", async () => {
    await using job = new Job({ action: FIXTURE });
    const { outputs } = await job.step({
      with: {
        script: `const child = spawn("sleep", ["60"], { env: { PATH: env.PATH }, detached: true, stdio: "ignore" }); child.unref();
          append(env.GITHUB_OUTPUT, "pid=" + child.pid + "\\nscript=" + process.argv[1] + "\\noom=" + process.getBuiltinModule("fs").readFileSync("/proc/self/oom_score_adj", "utf8"))`,
      },
    });
    const pid = Number(outputs.pid);
    try {
      expect(existsSync(outputs.script ?? "")).toBe(true);
      expect(await job.end()).toMatchObject({ orphans: [], changed: [] });
      expect(isAlive(pid)).toBe(true);
      expect(readFileSync(`/proc/${pid}/comm`, "utf8")).toBe("sleep\n");
      expect(existsSync(outputs.script ?? "")).toBe(false);
    } finally {
      process.kill(pid);
    }
  });

  test("runs two steps at once, each with files of its own", async () => {
    await using job = new Job({ action: FIXTURE });
    const run = (name: string) =>
      job.step({ with: { script: `append(env.GITHUB_OUTPUT, "name=${name}\\n"); console.log("${name}")` } });
    expect(await Promise.all([run("a"), run("b")])).toMatchObject([
      { log: ["a"], outputs: { name: "a" } },
      { log: ["b"], outputs: { name: "b" } },
    ]);
  });
});
