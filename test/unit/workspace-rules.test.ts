/** What git ignores is not sent, whatever the host and the repository are like; what can't be told is refused. */
import { execFileSync, spawnSync } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { packTree } from "../../client/tree/pack.ts";
import { compileGlob } from "../../client/workspace/glob.ts";
import { IgnoreRules } from "../../client/workspace/ignore-rules.ts";
import { collectWorkspace, type WorkspaceOptions } from "../../client/workspace.ts";
import { git, makeRepository } from "../helpers/git-kinds.ts";

let base = "";
let repo = "";
let home = "";
const { HOME, PATH, XDG_CONFIG_HOME } = process.env;

beforeEach(() => {
  base = realpathSync(mkdtempSync(join(tmpdir(), "thaw-rules-")));
  repo = join(base, "repo");
  home = join(base, "home");
  mkdirSync(home);
  process.env.HOME = home;
  delete process.env.XDG_CONFIG_HOME;
});
afterEach(() => {
  Object.assign(process.env, { HOME, PATH });
  if (XDG_CONFIG_HOME !== undefined) process.env.XDG_CONFIG_HOME = XDG_CONFIG_HOME;
  rmSync(base, { recursive: true, force: true });
});

/** Paths of the files that would be sent, without those of `.git`. */
async function list(folder: string, options: WorkspaceOptions = {}): Promise<string[]> {
  const { entries } = await collectWorkspace(folder, options);
  return entries.map(({ path }) => path.toString()).filter((path) => !/(^|\/)\.git(\/|$)/.test(path));
}

/** A repository with a file that only `.git/info/exclude` ignores, and one that only the user's rules do. */
function makeExcluding(): void {
  makeRepository(repo);
  appendFileSync(join(repo, ".git/info/exclude"), "*.env\n");
  writeFileSync(join(repo, "x.env"), "TOKEN");
  writeFileSync(join(repo, "sub/y.env"), "TOKEN");
  writeFileSync(join(repo, "mine.users"), "TOKEN");
  writeFileSync(join(home, "rules"), "*.users\n");
  writeFileSync(join(home, ".gitconfig"), "[core]\n\texcludesFile = ~/rules\n");
}

test.each([
  ["one's own", () => {}],
  ["another user's", () => execFileSync("chown", ["-R", "1000:1000", repo])],
  [
    "no git on this host",
    () => {
      process.env.PATH = home;
    },
  ],
  [
    "the user's rules at the place that is theirs by default",
    () => {
      rmSync(join(home, ".gitconfig"));
      mkdirSync(join(home, ".config/git"), { recursive: true });
      symlinkSync(join(home, "rules"), join(home, ".config/git/ignore"));
    },
  ],
  [
    "the user's rules named in a file that is included for this repository",
    () => {
      writeFileSync(join(home, ".gitconfig"), `[includeIf "gitdir:${base}/"]\n\tpath = more\n`);
      writeFileSync(join(home, "more"), `[core]\n\texcludesfile = "${home}/rules" ; by name\n`);
    },
  ],
])("what git ignores stays here: %s", async (_name, change) => {
  makeExcluding();
  change();
  const paths = await list(repo);
  process.env.PATH = PATH;
  expect(paths.sort()).toEqual([".gitignore", "sub", "sub/plain", "sub/run", "tracked", "untracked"]);
  expect(await list(join(repo, "sub"))).toEqual(["plain", "run"]);
});

test("an include whose condition is another folder's does not count", async () => {
  makeExcluding();
  writeFileSync(join(home, ".gitconfig"), '[includeIf "gitdir:/elsewhere/"]\n\tpath = more\n');
  writeFileSync(join(home, "more"), "[core]\n\texcludesFile = ~/rules\n");
  expect(await list(repo)).toContain("mine.users");
});

test.each<[string, () => void, RegExp]>([
  ["HEAD is gone", () => rmSync(join(repo, ".git/HEAD")), /HEAD missing/],
  ["objects are gone", () => rmSync(join(repo, ".git/objects"), { recursive: true }), /objects missing/],
  [
    "an empty .git",
    () => {
      rmSync(join(repo, ".git"), { recursive: true });
      mkdirSync(join(repo, ".git"));
    },
    /no repository/,
  ],
  ["a cut index", () => truncateSync(join(repo, ".git/index"), 100), /index can't be read/],
  ["an index that is none", () => writeFileSync(join(repo, ".git/index"), "x".repeat(100)), /is no index/],
  ["a split index", () => git(repo, "update-index", "--split-index"), /split index/],
  [
    "an error in its configuration",
    () => appendFileSync(join(repo, ".git/config"), "[core\n"),
    /config: line \d+/,
  ],
  [
    "an error in the user's configuration",
    () => writeFileSync(join(home, ".gitconfig"), '[core]\nexcludesFile = "x\n'),
    /gitconfig: line 2/,
  ],
  [
    "a worktree whose repository is gone",
    () => {
      rmSync(join(repo, ".git"), { recursive: true });
      writeFileSync(join(repo, ".git"), "gitdir: /nowhere/.git/worktrees/x\n");
    },
    /not there/,
  ],
  ["bare", () => git(repo, "config", "core.bare", "true"), /bare/],
  ["another folder's", () => git(repo, "config", "core.worktree", home), /belongs to/],
  [
    "rules outside of it",
    () => git(repo, "config", "core.excludesFile", join(base, "strangers")),
    /is outside/,
  ],
  [
    "too many rules",
    () => writeFileSync(join(repo, "sub/.gitignore"), "a\n".repeat(100_001)),
    /100001 rules/,
  ],
])("refused, with what to type: %s", async (_name, change, message) => {
  makeExcluding();
  writeFileSync(join(base, "strangers"), "*.x\n");
  change();
  await expect(collectWorkspace(repo)).rejects.toMatchObject({
    code: "usage",
    message: expect.stringMatching(message),
  });
  const { notes } = await collectWorkspace(repo, { ignore: false });
  expect(notes.length).toBeLessThanOrEqual(1);
});

test("rules that the repository names inside of itself count", async () => {
  makeExcluding();
  writeFileSync(join(repo, "sub/rules"), "untracked\n");
  git(repo, "config", "core.excludesFile", "sub/rules");
  const paths = await list(repo);
  expect(paths).not.toContain("untracked");
  expect(paths).toContain("mine.users");
});

test("a folder that its repository ignores is refused, unless all is wanted", async () => {
  makeExcluding();
  await expect(collectWorkspace(join(repo, "ignored"))).rejects.toMatchObject({
    code: "usage",
    hint: "--no-ignore",
  });
  expect(await list(join(repo, "ignored"), { ignore: false })).toEqual(["x"]);
});

test("an ignored folder in place of a tracked file, a submodule that is not checked out: nothing in them goes", async () => {
  makeRepository(repo);
  writeFileSync(join(repo, "build"), "");
  git(repo, "add", "build");
  const oid = git(repo, "rev-parse", "HEAD").trim();
  git(repo, "update-index", "--add", "--cacheinfo", `160000,${oid},lib`);
  git(repo, "commit", "-qm", "more");
  rmSync(join(repo, "build"));
  for (const name of ["build", "lib"]) {
    mkdirSync(join(repo, name));
    writeFileSync(join(repo, name, "secret"), "TOKEN");
  }
  writeFileSync(join(repo, ".gitignore"), "build/\nlib/\n");
  const paths = await list(repo);
  expect(paths).not.toContain("build");
  expect(paths.filter((path) => path.includes("secret"))).toEqual([]);
});

test("a nested repository whose index can't be read is refused by name", async () => {
  makeRepository(repo);
  makeRepository(join(repo, "nested"));
  git(join(repo, "nested"), "update-index", "--split-index");
  await expect(collectWorkspace(repo)).rejects.toMatchObject({
    message: expect.stringMatching(/nested.*split index/),
  });
});

test("a repository's own folder is no workspace", async () => {
  makeRepository(repo);
  for (const ignore of [true, false])
    await expect(collectWorkspace(join(repo, ".git"), { ignore })).rejects.toMatchObject({ code: "usage" });
});

test("many nested repositories take no more than a few descriptors", async () => {
  makeRepository(repo);
  makeRepository(join(base, "one"));
  for (let number = 0; number < 40; number++)
    cpSync(join(base, "one"), join(repo, `n${number}`), { recursive: true });
  const open = (): number => readdirSync("/proc/self/fd").length;
  const before = open();
  const { entries } = await collectWorkspace(repo);
  expect(open() - before).toBeLessThan(20);
  let most = 0;
  for await (const chunk of packTree(entries)) most = Math.max(most, open() + 0 * chunk.length);
  expect(most - before).toBeLessThan(20);
  expect(open()).toBeLessThanOrEqual(before);
});

test("case matters, unless the repository says otherwise", async () => {
  mkdirSync(join(repo, "Build"), { recursive: true });
  writeFileSync(join(repo, "Build/x"), "");
  writeFileSync(join(repo, ".gitignore"), "build\n");
  expect(await list(repo)).toContain("Build/x");
  git(repo, "init", "-q");
  expect(await list(repo)).toContain("Build/x");
  git(repo, "config", "core.ignorecase", "true");
  expect(await list(repo)).not.toContain("Build/x");
});

test("a folder that is no repository and has a .gitignore: said, with how many files stay here", async () => {
  mkdirSync(join(repo, "tmp"), { recursive: true });
  for (const name of ["tmpdir.py", "tmp/a", "tmp/b", "kept"]) writeFileSync(join(repo, name), "");
  writeFileSync(join(repo, ".gitignore"), "tmp*\n");
  const { notes, countLeftOut } = await collectWorkspace(repo);
  expect(notes).toEqual([expect.stringMatching(/is no git repository: 3 files .*--no-ignore/)]);
  expect(await countLeftOut()).toBe(3);
});

test("a repository with reftables goes as it is", async () => {
  makeRepository(repo);
  git(repo, "config", "core.repositoryformatversion", "1");
  git(repo, "config", "extensions.refStorage", "reftable");
  rmSync(join(repo, ".git/refs/heads"), { recursive: true });
  writeFileSync(join(repo, ".git/refs/heads"), "this repository uses the reftable format\n");
  writeFileSync(join(repo, ".git/HEAD"), "ref: refs/heads/.invalid\n");
  mkdirSync(join(repo, ".git/reftable"));
  const table = "0x000000000001-0x000000000002-12ab34cd.ref";
  writeFileSync(join(repo, ".git/reftable/tables.list"), `${table}\n`);
  writeFileSync(join(repo, ".git/reftable", table), "REFT");
  writeFileSync(join(repo, ".git/reftable/secret"), "");
  const { entries } = await collectWorkspace(repo);
  const sent = entries
    .map(({ path }) => path.toString())
    .filter((path) => /^\.git\/(reftable|refs)/.test(path));
  expect(sent.sort()).toEqual([
    ".git/refs",
    ".git/refs/heads",
    ".git/refs/tags",
    ".git/reftable",
    `.git/reftable/${table}`,
    ".git/reftable/tables.list",
  ]);
});

test("patterns mean what git says they mean", () => {
  git(base, "init", "-q", "repo");
  const parts = fc.constantFrom(
    ...["a", "b", "A", "/", "*", "**", "?", "[a-b]", "[!a]", "\\", "!", " ", ".", "[[:upper:]]", "]", "["],
  );
  const pattern = fc.array(parts, { minLength: 1, maxLength: 7 }).map((list) => list.join(""));
  const name = fc.array(fc.constantFrom("a", "b", "A", "ab", "a.b", "]", "["), {
    minLength: 1,
    maxLength: 3,
  });
  const numRuns = 600;
  const cases = fc.sample(fc.tuple(pattern, fc.array(name, { minLength: 20, maxLength: 20 })), {
    numRuns,
    seed: 8,
  });
  for (const [index, [text]] of cases.entries()) {
    mkdirSync(join(repo, `p${index}`));
    writeFileSync(join(repo, `p${index}/.gitignore`), `${text}\n`);
  }
  const asked = cases.flatMap(([text, names], index) =>
    names.map((list) => ({ text, base: `p${index}/`, path: `p${index}/${list.join("/")}` })),
  );
  for (const fold of [false, true]) {
    git(repo, "config", "core.ignorecase", String(fold));
    const answers = askGit(asked.map(({ path }) => path));
    const wrong = asked.filter(({ text, base: at, path }, index) => {
      const rules = IgnoreRules.parse(Buffer.from(text), { base: at, fold, shown: "" });
      return answers[index] !== isIgnored(rules, path);
    });
    expect(wrong.slice(0, 5)).toEqual([]);
  }
});

/** What git says of paths that don't exist: each is a file, in folders. */
function askGit(paths: readonly string[]): boolean[] {
  const args = ["check-ignore", "--stdin", "-z", "--no-index", "-v", "-n"];
  const { stdout } = spawnSync("git", args, {
    cwd: repo,
    input: paths.join("\0"),
    encoding: "utf8",
    maxBuffer: 64 << 20,
  });
  const fields = stdout.split("\0");
  return paths.map((_path, index) => {
    const rule = fields[index * 4 + 2] ?? "";
    return rule !== "" && !rule.startsWith("!");
  });
}

/** Folders are asked for before what is in them. */
function isIgnored(rules: IgnoreRules, path: string): boolean {
  const names = path.split("/");
  for (let count = 2; count < names.length; count++)
    if (rules.test(names.slice(0, count).join("/"), true) === true) return true;
  return rules.test(path, false) === true;
}

test("hostile patterns take no time", () => {
  const glob = compileGlob(`${"*a".repeat(2000)}b`, { pathname: false, fold: false });
  expect(glob("a".repeat(4000))).toBe(false);
  const wide = compileGlob("**/".repeat(500), { pathname: true, fold: false });
  expect(wide("a/".repeat(2000))).toBe(true);
});

test("copied without times: nothing looks changed inside, what is changed does", async () => {
  makeRepository(repo);
  cpSync(repo, join(base, "copied"), { recursive: true });
  writeFileSync(join(base, "copied/sub/plain"), "PLAIN\n");
  const { entries } = await collectWorkspace(join(base, "copied"));
  const index = entries.find(({ path }) => path.toString() === ".git/index")?.content;
  rmSync(join(base, "copied/.git/index"));
  writeFileSync(join(base, "copied/.git/index"), index ?? "");
  const config = entries.find(({ path }) => path.toString() === ".git/config")?.content;
  writeFileSync(join(base, "copied/.git/config"), config ?? "");
  expect(git(join(base, "copied"), "diff-index", "--name-only", "HEAD")).toBe("sub/plain\n");
  expect(existsSync(join(base, "copied/.git/index.lock"))).toBe(false);
  expect(readFileSync(join(base, "copied/sub/plain"), "utf8")).toBe("PLAIN\n");
});
