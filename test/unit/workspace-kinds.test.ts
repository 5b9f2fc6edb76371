/** Repositories of many kinds, sent to the real agent: git says the same of them there. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, realpathSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { collectWorkspace } from "../../client/workspace.ts";
import { describeRepository, git, kinds } from "../helpers/git-kinds.ts";
import { type GuestTrees, removeTree, startGuestTrees } from "../helpers/guest-trees.ts";

let base = "";
let guest: GuestTrees;
const home = process.env.HOME;

beforeAll(async () => {
  guest = await startGuestTrees();
});
afterAll(() => guest.close());
beforeEach(() => {
  base = realpathSync(mkdtempSync(join(tmpdir(), "thaw-kinds-")));
  mkdirSync(join(base, "home"));
  process.env.HOME = join(base, "home");
});
afterEach(() => {
  process.env.HOME = home;
  removeTree(base);
});

/** Kind, mode, names, owner, time and link of everything but `.git`. */
function describeFiles(folder: string): string {
  const format = "%P %y %m %n %U %T@ %l\\n";
  const files = execFileSync(
    "find",
    [".", "-mindepth", "1", "-name", ".git", "-prune", "-o", "-printf", format],
    {
      cwd: folder,
      encoding: "latin1",
    },
  );
  return files.split("\n").sort().join("\n");
}

/** What git would have: everything but what it ignores. Nested repositories' files belong to it. */
function removeIgnored(folder: string): void {
  git(folder, "clean", "-fdXq");
  for (const nested of ["nested"].filter((name) => existsSync(join(folder, name))))
    git(join(folder, nested), "clean", "-fdXq");
}

test.each(Object.entries(kinds))("%s", { timeout: 120_000 }, async (_name, build) => {
  const folder = build(base);
  const { entries } = await collectWorkspace(folder);
  const copy = join(base, "inside");
  expect(await guest.send(entries, copy)).toEqual([]);
  const inside = describeRepository(copy);
  execFileSync("git", ["-c", "safe.directory=*", "status"], { cwd: folder, stdio: "ignore" });
  expect(inside).toEqual(describeRepository(folder));
  const times = describeFiles(copy);
  removeIgnored(folder);
  // git leaves the folders' own times as they are when nothing in them went
  const withoutFolders = (text: string): string[] =>
    text.split("\n").filter((line) => !/ d [0-7]+ /.test(line));
  expect(withoutFolders(times)).toEqual(withoutFolders(describeFiles(folder)));
});
