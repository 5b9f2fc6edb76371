/** What of a command line is thaw's, and what is the command's. */
import { execFileSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Command } from "commander";
import { afterAll, describe, expect, test, vi } from "vitest";
import { define as defineExec } from "../../cli/exec/command.ts";
import { readEnv } from "../../cli/exec-io/flags.ts";
import { define as defineReplay } from "../../cli/replay/command.ts";
import { define as defineRerun } from "../../cli/rerun/command.ts";
import { define as defineRun } from "../../cli/run/command.ts";
import { splitWords } from "../../cli/run/words.ts";
import { type Define, verbs } from "../../cli/verbs.ts";

/** Operands and flags as the verb's action gets them. */
async function parse(define: Define, words: readonly string[]): Promise<[unknown[], object]> {
  const command = new Command("verb").exitOverride().configureOutput({ writeErr: () => {} });
  const got = Promise.withResolvers<[unknown[], object]>();
  define(command, () => {}, ["verb", ...words]);
  command.action((...given: unknown[]) => got.resolve([given.slice(0, -2), given.at(-2) as object]));
  await command.parseAsync([...words], { from: "user" });
  return got.promise;
}

test.each([
  [
    ["web", "npm", "test", "--", "--watch"],
    ["npm", "test", "--", "--watch"],
  ],
  [
    ["web", "--", "npm", "test", "--", "--watch"],
    ["--", "npm", "test", "--", "--watch"],
  ],
  [
    ["web", "sh", "-c", 'echo "$0 $1"', "--", "a"],
    ["sh", "-c", 'echo "$0 $1"', "--", "a"],
  ],
  [
    ["web", "ls", "-u", "nobody"],
    ["ls", "-u", "nobody"],
  ],
  [["web", "--json"], ["--json"]],
  [["web", "-"], ["-"]],
])("exec %j: what follows the name is the command's", async (words, argv) => {
  expect(await parse(defineExec, words)).toEqual([["web", argv], {}]);
});

test("exec: flags before the name are thaw's, one -- before the command is removed by its action", async () => {
  const [operands, flags] = await parse(defineExec, ["-u", "nobody", "-e", "A=b", "web", "--", "id"]);
  expect(operands).toEqual(["web", ["--", "id"]]);
  expect(flags).toMatchObject({ user: "nobody", env: { A: "b" } });
});

describe("--env-file", () => {
  const folder = mkdtempSync(join(tmpdir(), "thaw-env-"));
  const file = join(folder, "variables");
  const flagsOf = async (content: string | Buffer) => {
    writeFileSync(file, content);
    const words = ["-e", "A=flag", "--env-file", file, "web", "--", "id"];
    return readEnv((await parse(defineExec, words))[1]);
  };
  afterAll(() => rmSync(folder, { recursive: true }));

  test("variables word for word; -e wins; a name alone is our own", async () => {
    vi.stubEnv("THAW_OWN", "mine");
    expect(await flagsOf("# no\r\n\r\n  A=file\r\nB='x' #y\nTHAW_OWN\nTHAW_NONE\nC=\n")).toEqual({
      ...{ A: "flag", B: "'x' #y", THAW_OWN: "mine", C: "" },
    });
    vi.unstubAllEnvs();
  });

  test.each([
    ["a line that is none", "A=1\nB C=2\n", /Line 2 of .* is not NAME=VALUE/],
    ["NUL", "A=\0\n", /Line 1/],
    ["what is no text", Buffer.from([0x41, 0x3d, 0xff]), /Can't read/],
    ["too much", "A=".padEnd((1 << 20) + 1, "x"), /more than 1048576 bytes/],
  ])("%s is refused", async (_what, content, says) => {
    await expect(flagsOf(content)).rejects.toThrow(says);
  });

  test.each([[folder], [join(folder, "none")], ["/dev/zero"]])("%s is refused", async (path) => {
    await expect(parse(defineExec, ["--env-file", path, "web"])).rejects.toThrow(/Can't read/);
  });

  test("Node is not told: a file of a stranger's runs nothing here", () => {
    cpSync("cli/launcher.sh", join(folder, "thaw"));
    chmodSync(join(folder, "thaw"), 0o755);
    writeFileSync(join(folder, "thaw.mjs"), "console.log(JSON.stringify(process.argv.slice(2)))");
    writeFileSync(join(folder, "evil.cjs"), "console.log('evil')");
    writeFileSync(file, `NODE_OPTIONS="--require ${join(folder, "evil.cjs")}"\n`);
    mkdirSync(join(folder, "bin"));
    symlinkSync("../thaw", join(folder, "bin/linked"));
    symlinkSync(join(folder, "bin/linked"), join(folder, "bin/again"));
    const words = ["run", "--env-file", file, "--", "a b", "$HOME"];
    const env = { PATH: `${join(folder, "bin")}:${dirname(process.execPath)}:${process.env.PATH}` };
    for (const command of [join(folder, "thaw"), "again"])
      expect(JSON.parse(execFileSync(command, words, { env, encoding: "utf8" }))).toEqual(words);
    expect(() => execFileSync("./thaw", ["--version"], { env, cwd: folder })).not.toThrow();
    // Where it would have been read.
    const told = execFileSync(process.execPath, [join(folder, "thaw.mjs"), ...words], {
      env,
      encoding: "utf8",
    });
    expect(told).toMatch(/^evil/);
  });
});

test.each([
  [["--", "printf", "%s\\n", "--", "--watch"], undefined, ["printf", "%s\\n", "--", "--watch"]],
  [["test", "--", "-u", "x"], "test", ["-u", "x"]],
  [["--cpus", "2", "test", "--", "--", "x"], "test", ["--", "x"]],
  [["test"], "test", undefined],
])("run %j", async (words, run, command) => {
  const [[operands]] = await parse(defineRun, words);
  expect(splitWords(operands as string[], ["verb", ...words])).toEqual({ run, command });
});

test.each([
  ["replay", defineReplay],
  ["rerun", defineRerun],
] as const)("%s: what is behind -- is the command's, word for word", async (_name, define) => {
  const [operands, flags] = await parse(define, ["latest", "--json", "--", "sh", "-c", "x", "--", "--json"]);
  expect(operands).toEqual(["latest", ["sh", "-c", "x", "--", "--json"]]);
  expect(flags).toMatchObject({ json: true });
});

/** What docker's letters mean, in the verbs that both have: `-f` in logs, rm and inspect. `-n` is docker's in logs only. */
const LETTERS: Record<string, readonly string[]> = {
  "-a": ["--all"],
  "-d": ["--detach"],
  "-e": ["--env"],
  "-f": ["--follow", "--force", "--format"],
  "-i": ["--interactive"],
  "-j": ["--jobs"],
  "-l": ["--label"],
  "-m": ["--memory"],
  "-n": ["--tail", "--count"],
  "-p": ["--publish"],
  "-q": ["--quiet"],
  "-s": ["--signal"],
  "-t": ["--tty", "--timestamps"],
  "-u": ["--user", "--username"],
  "-w": ["--workdir"],
  "-y": ["--yes"],
};

test("a short flag means what it means in docker, and the same in every verb", async () => {
  const walk = (command: Command): void => {
    for (const { short, long } of command.options)
      if (short != null) expect(LETTERS[short], `${command.name()} ${short} ${long}`).toContain(long);
    command.commands.forEach(walk);
  };
  for (const [name, verb] of Object.entries(verbs)) {
    const command = new Command(name);
    (await verb.load()).define(command, () => {}, [name]);
    walk(command);
  }
});

test("run -l labels the sandbox, and -v is refused, not taken for a run's name", async () => {
  const [[operands], flags] = await parse(defineRun, ["-l", "team=x", "-m", "1G", "--", "make", "test"]);
  expect([operands, flags]).toEqual([
    ["make", "test"],
    expect.objectContaining({ label: { team: "x" }, memory: 1024 }),
  ]);
  await expect(parse(defineRun, ["-v", "/here:/src", "--", "make"])).rejects.toThrow("unknown option '-v'");
});
