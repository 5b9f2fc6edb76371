/**
 * A template of a git repository, pinned to a commit. Nothing is checked out: objects are fetched into a bare repository of its own and read. No
 * hook, filter, submodule or configuration takes part, the user's neither.
 */
import { type ExecFileOptions, execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TemplateFiles } from "../api/schema.ts";
import { MAX_TEMPLATE_FILES, MAX_TEMPLATE_FILES_BYTES } from "../api/template-limits.ts";
import { ThawError } from "./errors.ts";
import { namesIn } from "./template-files.ts";

const FETCH_TIMEOUT_MS = 180_000;
const READ_TIMEOUT_MS = 60_000;
const ASK_TIMEOUT_MS = 10_000;
const MAX_RECIPE_BYTES = 262_144;
/** Of a listing: names of a repository's files. */
const MAX_LISTING_BYTES = 16 << 20;
/** git ends when it writes a larger file: a pack. In blocks of 512 bytes, as sh counts them. */
const MAX_PACK_BLOCKS = 2 ** 20;

export interface GitTemplate {
  url: string;
  /** Folder of the template, or its file. */
  path: string;
  /** A commit, or what was given in its place. */
  commit: string;
}

/** `https://host/owner/repo[//path]@COMMIT`; undefined when it is no such address. */
export function parseGitTemplate(text: string): GitTemplate | undefined {
  const parts = /^((?:https?|ssh):\/\/[^/\s]+\/[^\s]*?)(?:\/\/([^\s]*?))?(?:@([^@/\s]+))?$/.exec(text);
  if (parts === null) return undefined;
  const [, url = "", path = "", commit = ""] = parts;
  return { url, path: path.replace(/^\/+|\/+$/g, ""), commit };
}

/** Fetches the commit and reads the recipe, and the files that it places. @throws ThawError `usage` */
export async function readGitTemplate(of: GitTemplate): Promise<{ recipe: string; files?: TemplateFiles }> {
  const { url, commit } = of;
  if (!/^[0-9a-f]{40}$/.test(commit)) throw await unpinned(of);
  const dir = await mkdtemp(join(tmpdir(), "thaw-git-"));
  try {
    const git = (args: string[], options: GitOptions) => runGit(["-C", dir, ...args], options);
    await git(["init", "-q", "--bare", "."], { timeoutMs: READ_TIMEOUT_MS });
    const how = ["--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"];
    await git(["fetch", "-q", ...how, `--filter=blob:limit=${MAX_TEMPLATE_FILES_BYTES}`, "--", url, commit], {
      timeoutMs: FETCH_TIMEOUT_MS,
    }).catch((error: Error) => {
      throw refused(of, `it could not be fetched: ${error.message}`);
    });
    const listing = await git(["ls-tree", "-r", "-z", "--full-tree", commit], {
      ...{ timeoutMs: READ_TIMEOUT_MS, maxBytes: MAX_LISTING_BYTES },
    });
    const tree = parseTree(listing.toString("utf8"));
    const read = ({ object }: TreeFile, maxBytes: number): Promise<Buffer> =>
      git(["cat-file", "blob", object], { timeoutMs: READ_TIMEOUT_MS, maxBytes }).catch(() => {
        throw refused(of, `a file of it has more than ${maxBytes} bytes, or can't be read`);
      });
    const file = /\.ya?ml$/.test(of.path) ? of.path : join(of.path, "template.yaml");
    const found = tree.get(file);
    if (found === undefined) throw refused(of, `there is no file ${file}`);
    const recipe = (await read(found, MAX_RECIPE_BYTES)).toString("utf8");
    const folder = file.slice(0, -(file.split("/").at(-1)?.length ?? 0));
    const wanted = (await namesIn(recipe)).flatMap((name) => beneath(tree, folder, name));
    if (wanted.length > MAX_TEMPLATE_FILES)
      throw refused(of, `its files are more than ${MAX_TEMPLATE_FILES}`);
    const files: TemplateFiles = {};
    let left = MAX_TEMPLATE_FILES_BYTES;
    for (const file of wanted) {
      const data = await read(file, left);
      left -= data.length;
      files[file.name] = { data: data.toString("base64"), executable: file.executable };
    }
    return { recipe, ...(wanted.length === 0 ? {} : { files }) };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

interface TreeFile {
  object: string;
  executable: boolean;
}

/** Files alone: links and submodules are left out. */
function parseTree(listing: string): Map<string, TreeFile> {
  const lines = listing.split("\0").map((line) => /^(100[0-7]{3}) blob ([0-9a-f]{40})\t(.+)$/s.exec(line));
  return new Map(
    lines.flatMap((parts): [string, TreeFile][] => {
      const [, mode = "", object = "", path = ""] = parts ?? [];
      return parts === null ? [] : [[path, { object, executable: mode === "100755" }]];
    }),
  );
}

function beneath(
  tree: ReadonlyMap<string, TreeFile>,
  folder: string,
  name: string,
): (TreeFile & { name: string })[] {
  const at = name === "." ? folder : `${folder}${name}`;
  return [...tree].flatMap(([path, file]) =>
    path === at || (at === "" || at.endsWith("/") ? path.startsWith(at) : path.startsWith(`${at}/`))
      ? [{ ...file, name: path.slice(folder.length) }]
      : [],
  );
}

async function unpinned(of: GitTemplate): Promise<ThawError> {
  const ref = of.commit === "" ? "HEAD" : of.commit;
  const asked = await runGit(["ls-remote", "-q", "--", of.url, ref], { timeoutMs: ASK_TIMEOUT_MS }).catch(
    () => null,
  );
  const now = /^[0-9a-f]{40}/.exec(asked?.toString("latin1") ?? "")?.[0];
  const path = of.path === "" ? "" : `//${of.path}`;
  const hint =
    now === undefined
      ? "the commit's 40 hex digits: git ls-remote"
      : `${ref} is now: ${of.url}${path}@${now}`;
  return new ThawError("usage", `${of.url} needs @COMMIT, 40 hex digits: what a name means may change`, {
    hint,
  });
}

interface GitOptions {
  timeoutMs: number;
  maxBytes?: number;
}

/** With nothing of the user's or the system's configuration. Rejects with git's last words. */
function runGit(args: string[], { timeoutMs, maxBytes = 1 << 20 }: GitOptions): Promise<Buffer> {
  const passed = /^(PATH|SSH_AUTH_SOCK|SSL_CERT_FILE|GIT_SSL_CAINFO|(HTTPS?|ALL|NO)_PROXY)$/i;
  const env = {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => passed.test(name))),
    ...{
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_CONFIG_GLOBAL: "/dev/null",
      GIT_TERMINAL_PROMPT: "0",
      GIT_ASKPASS: "true",
    },
    ...{ GIT_ALLOW_PROTOCOL: "https:http:ssh", GIT_NO_LAZY_FETCH: "1", LC_ALL: "C", HOME: "/nonexistent" },
    GIT_SSH_COMMAND: "ssh -oBatchMode=yes",
  };
  const settings = [
    "core.hooksPath=/dev/null",
    "transfer.fsckObjects=true",
    "protocol.file.allow=never",
    "protocol.ext.allow=never",
    "credential.helper=",
    "gc.auto=0",
    "maintenance.auto=false",
  ];
  const all = [...settings.flatMap((setting) => ["-c", setting]), ...args];
  const options: ExecFileOptions & { encoding: "buffer" } = {
    ...{ env, cwd: "/", timeout: timeoutMs, killSignal: "SIGKILL", maxBuffer: maxBytes, encoding: "buffer" },
  };
  const limited = ["-c", `ulimit -f ${MAX_PACK_BLOCKS}; exec git "$@"`, "git", ...all];
  return new Promise((resolve, reject) => {
    execFile("sh", limited, options, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout as Buffer);
      const said = stderr.toString("utf8").trim().split("\n").at(-1);
      const late = error.killed === true ? `git did not end within ${timeoutMs / 1000} s` : undefined;
      reject(new Error(late ?? (said === "" ? error.message : said)));
    });
  });
}

function refused({ url, commit }: GitTemplate, why: string): ThawError {
  return new ThawError("usage", `can't read the template of ${url} at ${commit}: ${why}`, {
    hint: "https://host/owner/repo//path@COMMIT",
  });
}
