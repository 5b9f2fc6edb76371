/** Workspaces made by strangers: nothing of them runs here, and nothing beyond them is sent. */
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { unpackTree } from "../../client/tree/unpack.ts";
import { collectWorkspace, type WorkspaceOptions } from "../../client/workspace.ts";
import { git, makeRepository } from "../helpers/git-kinds.ts";
import { type GuestTrees, removeTree, startGuestTrees } from "../helpers/guest-trees.ts";

let base = "";
let repo = "";
let copy = "";
let guest: GuestTrees;
const { HOME, PATH } = process.env;

beforeAll(async () => {
  guest = await startGuestTrees();
});
afterAll(() => guest.close());
beforeEach(() => {
  base = realpathSync(mkdtempSync(join(tmpdir(), "thaw-hostile-")));
  repo = join(base, "repo");
  copy = join(base, "copy");
  mkdirSync(join(base, "home"));
  process.env.HOME = join(base, "home");
});
afterEach(() => {
  process.env.HOME = HOME;
  process.env.PATH = PATH;
  removeTree(base);
});

async function send(folder: string, options: WorkspaceOptions = {}) {
  const { entries, notes } = await collectWorkspace(folder, options);
  const skipped = await guest.send(entries, copy);
  return { notes, skipped: skipped.map(({ path }) => path.toString()) };
}

function there(path: string): boolean {
  return lstatSync(join(copy, path), { throwIfNoEntry: false }) !== undefined;
}

/** Everything that arrived, as one text. */
function everything(): string {
  const walk = (folder: string): string =>
    readdirSync(folder, { withFileTypes: true })
      .map((entry) => {
        const path = join(folder, entry.name);
        if (entry.isDirectory()) return `${entry.name}\n${walk(path)}`;
        return entry.isFile() ? `${entry.name}\n${readFileSync(path, "latin1")}` : entry.name;
      })
      .join("\n");
  return walk(copy);
}

/** Keys that make git run what they are set to, in one command or another. */
const runningKeys = [
  "core.fsmonitor core.sshCommand core.pager core.editor core.askPass core.gitProxy core.alternateRefsCommand core.hooksPath",
  "credential.helper credential.https://x.helper gpg.program gpg.ssh.program gpg.x509.program gpg.ssh.defaultKeyCommand",
  "diff.external diff.x.command diff.x.textconv merge.x.driver filter.x.clean filter.x.smudge filter.x.process",
  "interactive.diffFilter sequence.editor pager.status pager.ls-files uploadpack.packObjectsHook",
  "remote.origin.uploadpack remote.origin.receivepack remote.origin.vcs remote.origin.proxy trailer.x.command trailer.x.cmd",
  "difftool.x.cmd mergetool.x.cmd browser.x.cmd man.x.cmd sendemail.smtpserver sendemail.tocmd imap.tunnel",
  "hook.x.command lfs.customtransfer.x.path fsmonitor.program init.templateDir commit.template log.mailmap",
]
  .join(" ")
  .split(" ");

/** Names a program in every setting, and as every hook. */
function plant(gitDir: string, program: string): void {
  const set = (key: string, value: string): void => {
    const [, section, sub, name] = /^([^.]+)(?:\.(.*))?\.([^.]+)$/.exec(key) ?? [];
    const head = sub === undefined ? `[${section}]` : `[${section} "${sub}"]`;
    appendFileSync(join(gitDir, "config"), `${head}\n\t${name} = "${value}"\n`);
  };
  for (const key of runningKeys) set(key, program);
  for (const name of ["status", "ls-files", "rev-parse", "config"]) set(`alias.${name}`, `!${program}`);
  set("remote.origin.url", `ext::${program}`);
  set("remote.origin.promisor", "true");
  set("extensions.partialClone", "origin");
  set("url.ext::x.insteadOf", "https://");
  set("submodule.x.update", `!${program}`);
  writeFileSync(join(gitDir, "included"), `[core]\n\tfsmonitor = ${program}\n`);
  set("include.path", "included");
  set(`includeIf.gitdir:/.path`, "included");
  mkdirSync(join(gitDir, "hooks"), { recursive: true });
  for (const hook of ["post-index-change", "fsmonitor-watchman", "post-checkout", "reference-transaction"]) {
    writeFileSync(join(gitDir, "hooks", hook), readFileSync(program));
    chmodSync(join(gitDir, "hooks", hook), 0o755);
  }
}

/** A program that notes that it was run. */
function makeProgram(name: string): string {
  const program = join(base, name);
  writeFileSync(program, `#!/bin/sh\necho "$0 $@" >> ${join(base, "OWNED")}\n`);
  chmodSync(program, 0o755);
  return program;
}

function makePlanted(): void {
  makeRepository(repo);
  makeRepository(join(base, "library"));
  git(repo, "submodule", "add", "-q", join(base, "library"), "lib");
  writeFileSync(join(repo, ".gitattributes"), "* filter=x diff=x merge=x\n");
  git(repo, "add", ".gitattributes");
  git(repo, "commit", "-qm", "attributes");
  git(repo, "worktree", "add", "-q", join(base, "side"));
  makeRepository(join(repo, "nested"));
  const program = makeProgram("planted");
  for (const gitDir of [".git", ".git/modules/lib", "nested/.git"]) plant(join(repo, gitDir), program);
  mkdirSync(join(base, "bin"));
  renameSync(makeProgram("git"), join(base, "bin/git"));
}

test.each(["", "ignored files too", "a worktree", "no git on this host"])(
  "no program that a workspace names is run: %s",
  async (how) => {
    makePlanted();
    process.env.PATH = how === "no git on this host" ? join(base, "home") : join(base, "bin");
    const { notes } = await send(how === "a worktree" ? join(base, "side") : repo, {
      ignore: how !== "ignored files too",
    });
    process.env.PATH = PATH;
    expect(existsSync(join(base, "OWNED"))).toBe(false);
    expect(notes.join("\n")).toContain("git filters named in .gitattributes are not set in the sandbox: x");
    expect(everything()).not.toContain(join(base, "planted"));
    const text = readFileSync(join(copy, ".git/config"), "utf8");
    expect(text).not.toMatch(/fsmonitor|hook|alias|ext::|helper|include|program|insteadof/i);
    expect(git(copy, "ls-files", "-s")).toContain(".gitattributes");
    expect(git(copy, "diff-index", "--name-only", "HEAD")).toBe("");
  },
);

test("a folder that a guest made and that was copied out is as harmless", async () => {
  makePlanted();
  const out = join(base, "out");
  await unpackTree(await guest.read(repo), out);
  process.env.PATH = join(base, "bin");
  await send(out);
  process.env.PATH = PATH;
  expect(existsSync(join(base, "OWNED"))).toBe(false);
  expect(everything()).not.toContain(join(base, "planted"));
  expect(git(copy, "log", "--format=%s")).toBe("attributes\nfirst\n");
});

test("what chooses and packs a workspace runs no program but our own that names extended attributes", () => {
  const root = join(import.meta.dirname, "../../client");
  const files = ["workspace", "tree"].flatMap((folder) =>
    readdirSync(join(root, folder)).map((name) => join(root, folder, name)),
  );
  const runs = [...files, join(root, "workspace.ts")].filter((file) =>
    /child_process|execa|node:cluster|worker_threads/.test(readFileSync(file, "utf8")),
  );
  expect(runs).toEqual([join(root, "tree/find-attributes.ts")]);
});

/** A folder beside the workspace, with a file that must not be sent. */
function makeOutside(): string {
  const outside = makeRepository(join(base, "outside"));
  writeFileSync(join(outside, "hostname"), "SECRET");
  git(outside, "add", "hostname");
  git(outside, "commit", "-qm", "SECRET-COMMIT");
  return outside;
}

test("an index that names a file behind a link, a submodule that is a link", async () => {
  const outside = makeOutside();
  makeRepository(repo);
  const oid = execFileSync("git", ["hash-object", "-w", "tracked"], { cwd: repo, encoding: "utf8" }).trim();
  const commit = git(outside, "rev-parse", "HEAD").trim();
  for (const entry of [`100644,${oid},r/hostname`, `160000,${commit},lib`])
    git(repo, "update-index", "--add", "--cacheinfo", entry);
  git(repo, "commit", "-qm", "planted");
  symlinkSync(outside, join(repo, "r"));
  symlinkSync(outside, join(repo, "lib"));
  const { skipped } = await send(repo);
  expect(skipped).toEqual([]);
  expect(everything()).not.toContain("SECRET");
  expect(lstatSync(join(copy, "r")).isSymbolicLink()).toBe(true);
  expect(lstatSync(join(copy, "lib")).isSymbolicLink()).toBe(true);
});

test.each([
  [
    "a file that names another repository",
    (outside: string) => writeFileSync(join(repo, ".git"), `gitdir: ${outside}/.git\n`),
  ],
  [
    "a link to another repository",
    (outside: string) => symlinkSync(join(outside, ".git"), join(repo, ".git")),
  ],
  [
    "a repository that borrows another's folder",
    (outside: string) => {
      makeRepository(repo);
      writeFileSync(join(repo, ".git/commondir"), `${outside}/.git\n`);
    },
  ],
  [
    "a made-up worktree of another repository",
    (outside: string) => {
      mkdirSync(join(repo, "w"));
      writeFileSync(join(repo, "w/HEAD"), "ref: refs/heads/main\n");
      writeFileSync(join(repo, "w/commondir"), `${outside}/.git\n`);
      writeFileSync(join(repo, "w/gitdir"), `${repo}/.git\n`);
      writeFileSync(join(repo, ".git"), "gitdir: w\n");
    },
  ],
  [
    "objects that are a link",
    (outside: string) => {
      makeRepository(repo);
      rmSync(join(repo, ".git/objects"), { recursive: true });
      symlinkSync(join(outside, ".git/objects"), join(repo, ".git/objects"));
    },
  ],
  [
    "packs that are a link",
    (outside: string) => {
      makeRepository(repo);
      rmSync(join(repo, ".git/objects/pack"), { recursive: true });
      symlinkSync(join(outside, ".git/objects/pack"), join(repo, ".git/objects/pack"));
    },
  ],
  [
    "alternates",
    (outside: string) => {
      makeRepository(repo);
      writeFileSync(join(repo, ".git/objects/info/alternates"), `${outside}/.git/objects\n`);
    },
  ],
])("%s is refused by name, and not sent without rules either", async (_name, make) => {
  const outside = makeOutside();
  mkdirSync(repo);
  make(outside);
  await expect(collectWorkspace(repo)).rejects.toMatchObject({
    code: "usage",
    message: expect.stringContaining(repo),
    hint: expect.stringContaining("--no-ignore"),
  });
  const { notes } = await send(repo, { ignore: false });
  expect(notes.join("\n")).toMatch(/not sent/);
  expect(everything()).not.toContain("SECRET");
  expect(there(".git/refs/heads/SECRET")).toBe(false);
});

test("a repository below the top that names another one: its files are sent, that one is not", async () => {
  const outside = makeOutside();
  makeRepository(repo);
  mkdirSync(join(repo, "inner"));
  writeFileSync(join(repo, "inner/.git"), `gitdir: ${outside}/.git\n`);
  writeFileSync(join(repo, "inner/file"), "file");
  const { notes } = await send(repo);
  expect(notes).toEqual([expect.stringContaining("inner/.git")]);
  expect(there("inner/file")).toBe(true);
  expect(there("inner/.git")).toBe(false);
  expect(everything()).not.toContain("SECRET");
});

test("a folder that becomes a link while it is read leads nowhere", async () => {
  const outside = makeOutside();
  mkdirSync(join(repo, "d/e"), { recursive: true });
  writeFileSync(join(repo, "d/hostname"), "mine");
  writeFileSync(join(repo, "d/e/hostname"), "mine");
  const { entries } = await collectWorkspace(repo);
  renameSync(join(repo, "d"), join(base, "moved"));
  symlinkSync(outside, join(repo, "d"));
  await guest.send(entries, copy);
  expect(lstatSync(join(copy, "d")).isSymbolicLink()).toBe(true);
  expect(everything()).not.toContain("SECRET");
});

test("a workspace that is replaced while it is read is not sent", async () => {
  makeOutside();
  mkdirSync(repo);
  writeFileSync(join(repo, "hostname"), "mine");
  const { entries } = await collectWorkspace(repo);
  renameSync(repo, join(base, "moved"));
  symlinkSync(join(base, "outside"), repo);
  await expect(guest.send(entries, copy)).rejects.toThrow(/replaced/);
});

const special: [string, (path: string) => void][] = [
  ["a named pipe", (path) => execFileSync("mkfifo", [path])],
  ["a socket", (path) => void createServer().unref().listen(path)],
  ["a link to a device", (path) => symlinkSync("/dev/zero", path)],
  [
    "a link to a pipe",
    (path) => {
      execFileSync("mkfifo", [`${path}-pipe`]);
      symlinkSync(`${path}-pipe`, path);
    },
  ],
  ["a link to itself", (path) => symlinkSync(path, path)],
  [
    "a terabyte",
    (path) => {
      writeFileSync(path, "");
      truncateSync(path, 2 ** 40);
    },
  ],
];
const places = [".gitignore", ".gitattributes", ".gitmodules", "sub/.gitignore"];
const gitPlaces = [
  ".git",
  ".git/HEAD",
  ".git/config",
  ".git/index",
  ".git/info/exclude",
  ".git/info",
  ".git/objects",
  ".git/commondir",
];

test.each(special)("%s in place of what git reads never hangs", async (_name, make) => {
  for (const place of [...places, ...gitPlaces]) {
    rmSync(repo, { recursive: true, force: true });
    makeRepository(repo);
    rmSync(join(repo, place), { recursive: true, force: true });
    make(join(repo, place));
    const outcome = await collectWorkspace(repo).then(
      ({ notes }) => notes.join("\n"),
      (error: { code: string; message: string }) => `${error.code} ${error.message}`,
    );
    if (gitPlaces.includes(place)) expect(outcome, place).toMatch(/^usage .*\.git/);
    else if (place.endsWith(".gitignore")) expect(outcome, place).toMatch(/\.gitignore/);
  }
});

test("of .git goes what is known: no cookies, hooks, credentials, nor files that only look like refs", async () => {
  makeRepository(join(base, "library"));
  makeRepository(repo);
  git(repo, "submodule", "add", "-q", "--name", "credential-x", join(base, "library"), "lib");
  git(repo, "commit", "-qm", "submodule");
  git(repo, "branch", "fix-credentials");
  const put = (path: string, text = "PASSWORD"): void => {
    mkdirSync(join(repo, ".git", path, ".."), { recursive: true });
    writeFileSync(join(repo, ".git", path), text);
  };
  const names = [
    "cookies",
    ".netrc",
    "annex/creds/x",
    "credentials",
    "hooks/pre-push",
    "refs/heads/notes",
    "svn/x",
    "lfs/cache/x",
  ];
  for (const name of [
    ...names,
    "objects/tmp_obj_x",
    "objects/pack/tmp_pack_x",
    "info/secret",
    "remotes/origin",
  ])
    put(name);
  for (const name of ["hooks/pre-push", "cookies", "refs/heads/x"]) put(`modules/credential-x/${name}`);
  put(
    "logs/HEAD",
    `${"0".repeat(40)} ${"1".repeat(40)} T <t@x> 1 +0000\tpull https://me:PASSWORD@host/x: ok\n`,
  );
  put("FETCH_HEAD", `${"1".repeat(40)}\t\tbranch 'main' of https://me:PASSWORD@host/x\n`);
  const oid = "ab".repeat(32);
  put(`lfs/objects/ab/ab/${oid}`, "large");
  for (const config of [".git/config", ".git/modules/credential-x/config"]) {
    const set = (key: string, value: string): string => git(repo, "config", "--file", config, key, value);
    set("http.extraheader", "AUTHORIZATION: PASSWORD");
    set("remote.origin.url", "https://me:PASSWORD@host/x");
  }
  await send(repo);
  expect(everything()).not.toContain("PASSWORD");
  expect(git(copy, "branch", "--format=%(refname:short)")).toBe("fix-credentials\nmain\n");
  expect(git(copy, "submodule", "status")).toBe(git(repo, "submodule", "status"));
  expect(git(copy, "config", "remote.origin.url")).toBe("https://host/x\n");
  expect(there(`.git/lfs/objects/ab/ab/${oid}`)).toBe(true);
  expect(readFileSync(join(copy, ".git/logs/HEAD"), "utf8")).toContain("pull https://host/x: ok");
});
