/** Many kinds of repositories. Each is built in a folder of its own and says where its work tree is. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

const identity = [
  "user.name=T",
  "user.email=t@example.com",
  "protocol.file.allow=always",
  "safe.directory=*",
];

/** Runs git without the configuration of this host. Fails with what it wrote. */
export function git(folder: string, ...args: string[]): string {
  const settings = identity.flatMap((setting) => ["-c", setting]);
  return execFileSync("git", [...settings, ...args], {
    cwd: folder,
    encoding: "utf8",
    maxBuffer: 64 << 20,
    env: { ...process.env, GIT_CONFIG_NOSYSTEM: "1", GIT_OPTIONAL_LOCKS: "0" },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** A repository with a commit, and changed, ignored and untracked files. */
export function makeRepository(folder: string, ...init: string[]): string {
  mkdirSync(join(folder, "sub"), { recursive: true });
  writeFileSync(join(folder, ".gitignore"), "ignored/\n*.log\n");
  writeFileSync(join(folder, "tracked"), "tracked\n");
  writeFileSync(join(folder, "sub/run"), "#!/bin/sh\n");
  writeFileSync(join(folder, "sub/plain"), "plain\n");
  chmodSync(join(folder, "sub/run"), 0o755);
  git(folder, "init", "-q", "-b", "main", ...init);
  git(folder, "add", "-A");
  git(folder, "commit", "-qm", "first");
  mkdirSync(join(folder, "ignored"));
  writeFileSync(join(folder, "ignored/x"), "x");
  writeFileSync(join(folder, "a.log"), "log");
  writeFileSync(join(folder, "untracked"), "new");
  return folder;
}

function addSubmodule(base: string, name: string, path: string): string {
  const repo = makeRepository(join(base, "repo"));
  makeRepository(join(base, "library"));
  git(repo, "submodule", "add", "-q", "--name", name, join(base, "library"), path);
  git(repo, "commit", "-qm", "submodule");
  return repo;
}

function commitFile(repo: string, path: string, content: string): void {
  writeFileSync(join(repo, path), content);
  git(repo, "add", "-f", path);
  git(repo, "commit", "-qm", `add ${path}`);
}

/** Kinds that are sent; in the guest git says the same of them as here. */
export const kinds: Record<string, (base: string) => string> = {
  "changed, removed and untracked files": (base) => {
    const repo = makeRepository(join(base, "repo"));
    writeFileSync(join(repo, "tracked"), "changed\n");
    rmSync(join(repo, "sub/plain"));
    writeFileSync(join(repo, "staged"), "staged");
    git(repo, "add", "staged");
    writeFileSync(join(repo, "intended"), "intended");
    git(repo, "add", "-N", "intended");
    return repo;
  },
  "no commit yet": (base) => {
    mkdirSync(join(base, "repo"));
    git(base, "init", "-q", "repo");
    writeFileSync(join(base, "repo/x"), "x");
    return join(base, "repo");
  },
  "odd names, and a tracked file in an ignored folder": (base) => {
    const repo = makeRepository(join(base, "repo"));
    for (const name of ["new\nline", 'quote"s', " space ", "-dash", "tab\t", "ä"])
      writeFileSync(join(repo, name), name);
    writeFileSync(Buffer.concat([Buffer.from(`${repo}/`), Buffer.from([0x66, 0xff, 0xfe])]), "latin");
    git(repo, "add", "-A");
    git(repo, "add", "-f", "ignored/x");
    git(repo, "commit", "-qm", "odd");
    writeFileSync(join(repo, "ignored/untracked"), "left out");
    return repo;
  },
  "links out of the tree": (base) => {
    const repo = makeRepository(join(base, "repo"));
    symlinkSync("/etc/passwd", join(repo, "absolute"));
    symlinkSync("../../../x", join(repo, "climbing"));
    symlinkSync("sub/../../x", join(repo, "behind"));
    symlinkSync("/etc", join(repo, "folder"));
    git(repo, "add", "-A");
    git(repo, "commit", "-qm", "links");
    return repo;
  },
  "modes and times": (base) => {
    const repo = makeRepository(join(base, "repo"));
    chmodSync(join(repo, "tracked"), 0o600);
    chmodSync(join(repo, "sub"), 0o1777);
    chmodSync(join(repo, "untracked"), 0o4755);
    utimesSync(join(repo, "sub/plain"), 1_000_000_000.25, 1_000_000_000.25);
    linkSync(join(repo, "tracked"), join(repo, "twin"));
    return repo;
  },
  "a branch called fix-credentials": (base) => {
    const repo = makeRepository(join(base, "repo"));
    git(repo, "checkout", "-q", "-b", "fix-credentials");
    git(repo, "tag", "-a", "-m", "t", "credentials/v1");
    return repo;
  },
  "a submodule with credential in its name": (base) => addSubmodule(base, "credential-x", "credential-x"),
  "a submodule whose name has slashes": (base) => addSubmodule(base, "deep/er", "lib/deep"),
  "a submodule named by an absolute path": (base) => {
    const repo = addSubmodule(base, "lib", "lib");
    writeFileSync(join(repo, "lib/.git"), `gitdir: ${join(repo, ".git/modules/lib")}\n`);
    git(join(repo, "lib"), "config", "core.worktree", join(repo, "lib"));
    return repo;
  },
  "a submodule that is not checked out": (base) => {
    const repo = addSubmodule(base, "lib", "lib");
    git(repo, "submodule", "deinit", "-q", "-f", "lib");
    return repo;
  },
  "a submodule itself": (base) => join(addSubmodule(base, "lib", "lib"), "lib"),
  "a repository in an untracked folder": (base) => {
    const repo = makeRepository(join(base, "repo"));
    makeRepository(join(repo, "nested"));
    writeFileSync(join(repo, "nested/.git/info/exclude"), "untracked\n");
    return repo;
  },
  "a worktree": (base) => {
    const repo = makeRepository(join(base, "repo"));
    git(repo, "worktree", "add", "-q", "-b", "side", join(base, "side"));
    writeFileSync(join(base, "side/tracked"), "side\n");
    return join(base, "side");
  },
  "a worktree with a submodule": (base) => {
    const repo = addSubmodule(base, "lib", "lib");
    git(repo, "worktree", "add", "-q", "-b", "side", join(base, "side"));
    git(join(base, "side"), "submodule", "update", "-q", "--init");
    return join(base, "side");
  },
  "a repository elsewhere": (base) => {
    const repo = makeRepository(join(base, "repo"));
    renameSync(join(repo, ".git"), join(base, "store"));
    writeFileSync(join(repo, ".git"), "gitdir: ../store\n");
    git(repo, "config", "core.worktree", repo);
    return repo;
  },
  "a shallow clone": (base) => {
    const repo = makeRepository(join(base, "repo"));
    commitFile(repo, "more", "more");
    git(base, "clone", "-q", "--depth", "1", `file://${repo}`, "copy");
    return join(base, "copy");
  },
  "a partial clone": (base) => {
    const repo = makeRepository(join(base, "repo"));
    git(repo, "config", "uploadpack.allowFilter", "true");
    commitFile(repo, "tracked", "second");
    git(base, "clone", "-q", "--filter=blob:none", `file://${repo}`, "copy");
    return join(base, "copy");
  },
  "a sparse checkout": (base) => {
    const repo = makeRepository(join(base, "repo"));
    mkdirSync(join(repo, "other"));
    commitFile(repo, "other/file", "file");
    git(repo, "sparse-checkout", "set", "sub");
    return repo;
  },
  "a sparse index": (base) => {
    const repo = makeRepository(join(base, "repo"));
    mkdirSync(join(repo, "other"));
    commitFile(repo, "other/file", "file");
    git(repo, "sparse-checkout", "set", "--cone", "--sparse-index", "sub");
    return repo;
  },
  "packed, with a graph and a multi-pack index": (base) => {
    const repo = makeRepository(join(base, "repo"));
    git(repo, "gc", "-q");
    commitFile(repo, "more", "more");
    git(repo, "repack", "-q");
    git(repo, "multi-pack-index", "write");
    git(repo, "commit-graph", "write", "--reachable", "--split");
    git(repo, "pack-refs", "--all");
    return repo;
  },
  "index version 4, untracked cache": (base) => {
    const repo = makeRepository(join(base, "repo"));
    git(repo, "update-index", "--index-version", "4", "--force-untracked-cache");
    execFileSync("git", ["-C", repo, "status"], { stdio: "ignore" });
    return repo;
  },
  "an index without checksum": (base) => {
    const repo = makeRepository(join(base, "repo"));
    git(repo, "config", "index.skipHash", "true");
    git(repo, "update-index", "--force-write-index");
    return repo;
  },
  "SHA-256": (base) => makeRepository(join(base, "repo"), "--object-format=sha256"),
  "copied without times": (base) => {
    makeRepository(join(base, "repo"));
    cpSync(join(base, "repo"), join(base, "copy"), { recursive: true });
    return join(base, "copy");
  },
  "a conflict": (base) => {
    const repo = makeRepository(join(base, "repo"));
    git(repo, "checkout", "-q", "-b", "theirs");
    commitFile(repo, "tracked", "theirs\n");
    git(repo, "checkout", "-q", "main");
    commitFile(repo, "tracked", "ours\n");
    try {
      git(repo, "merge", "theirs");
    } catch {
      // that is the conflict
    }
    return repo;
  },
  "a stash and a detached HEAD": (base) => {
    const repo = makeRepository(join(base, "repo"));
    writeFileSync(join(repo, "tracked"), "stashed\n");
    git(repo, "stash", "-q");
    git(repo, "checkout", "-q", "--detach");
    return repo;
  },
  "assumed unchanged, and not in the work tree": (base) => {
    const repo = makeRepository(join(base, "repo"));
    git(repo, "update-index", "--assume-unchanged", "tracked");
    writeFileSync(join(repo, "tracked"), "other\n");
    git(repo, "update-index", "--skip-worktree", "sub/plain");
    rmSync(join(repo, "sub/plain"));
    return repo;
  },
  "line ends": (base) => {
    const repo = makeRepository(join(base, "repo"));
    git(repo, "config", "core.autocrlf", "true");
    commitFile(repo, "dos", "a\r\nb\r\n");
    return repo;
  },
  "rules of many kinds": (base) => {
    const repo = makeRepository(join(base, "repo"));
    writeFileSync(join(repo, ".gitignore"), "build\n/top\n*.o\n!keep.o\ndoc/**/x\n[Tt]mp\n\\#hash\nsp \\ \n");
    writeFileSync(join(repo, "sub/.gitignore"), "!build\n");
    for (const name of ["Build", "build", "doc/a/b", "sub/build", "sub/top", "top", "Tmp"])
      mkdirSync(join(repo, name), { recursive: true });
    const files = [
      "Build/x",
      "build/x",
      "a.o",
      "keep.o",
      "doc/x",
      "doc/a/b/x",
      "sub/build/x",
      "#hash",
      "sp  ",
    ];
    for (const name of [...files, "sub/top/x", "top/x", "Tmp/x"]) writeFileSync(join(repo, name), "");
    return repo;
  },
};

/** What git and the file system say of a work tree. */
export function describeRepository(folder: string): Record<string, string> {
  const ask = (...args: string[]): string => {
    try {
      return git(folder, ...args);
    } catch (error) {
      return `failed: ${String((error as { stderr?: unknown }).stderr).replaceAll(folder, "")}`;
    }
  };
  return {
    // before anything that could refresh an index
    difference: ask("diff-index", "--raw", "HEAD"),
    status: ask("status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all"),
    tracked: ask("ls-files", "-s", "-v", "-z"),
    refs: ask("for-each-ref"),
    log: ask("log", "--all", "--format=%H %s"),
    stash: ask("stash", "list"),
    submodules: ask("submodule", "status", "--recursive"),
    check: ask("fsck", "--connectivity-only"),
  };
}
