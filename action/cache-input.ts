/** The input `cache`: folders of the sandbox that survive it, whose caches a step reads, and whether it writes one. */
import { z } from "zod";
import { cacheKey, cachePaths } from "../api/cache.ts";
import { type CacheRequest, workspacePath } from "../client/index.ts";
import type { CodeSource } from "./fetch/source.ts";
import { parseLines, quote } from "./fields.ts";
import { guestPath } from "./inside.ts";
import { readPayload } from "./payload.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** What a step's input says. */
export type CacheInput = Pick<CacheRequest, "key" | "restoreKeys" | "paths">;

const HOME = "/root";

/**
 * Lines: `key: TEXT`, `restore: PREFIX` (as often as wanted), and folders, from /workspace, absolute, or from `~` (root's home).
 * @throws RangeError
 */
export function parseCache(text: string): CacheInput {
  const found = { key: [] as string[], restore: [] as string[], paths: [] as string[] };
  for (const line of parseLines(text)) {
    const [, name, value = ""] = /^(key|restore):\s*(.*)$/.exec(line) ?? [];
    if (name === "key" || name === "restore") found[name].push(value);
    else found.paths.push(line);
  }
  const mistakes: string[] = [];
  const [key = ""] = found.key;
  if (found.key.length !== 1)
    mistakes.push(
      "give one line `key: …` with a hash of the files that the cache depends on, such as a lock file: hashFiles(…)",
    );
  else mistakes.push(...problemsOf(cacheKey, key));
  for (const prefix of found.restore) mistakes.push(...problemsOf(cacheKey, prefix));
  if (found.paths.length === 0) mistakes.push("give the folders to cache, one per line");
  const paths = found.paths.map(placeOf);
  if (paths.length > 0) mistakes.push(...problemsOf(cachePaths, paths));
  if (mistakes.length > 0) throw new RangeError([...new Set(mistakes)].join("; "));
  return { key, restoreKeys: found.restore, paths };
}

function placeOf(path: string): string {
  const full =
    path === "~" || path.startsWith("~/") ? `${HOME}${path.slice(1)}` : guestPath(workspacePath, path);
  return full.length > 1 ? full.replace(/\/+$/, "") : full;
}

function problemsOf(schema: z.ZodType, value: unknown): string[] {
  const result = schema.safeParse(value);
  if (result.success) return [];
  const given = typeof value === "string" ? quote(value) : (value as string[]).map(quote).join(", ");
  return result.error.issues.map(({ message }) => `${given}: ${message}`);
}

const event = z.object({
  repository: z.object({ full_name: z.string(), default_branch: z.string() }),
  pull_request: z
    .object({
      number: z.int().positive(),
      base: z.object({ ref: z.string() }),
      head: z.object({ sha: z.string().optional(), repo: z.object({ full_name: z.string() }).nullish() }),
    })
    .optional(),
});

type Told = z.infer<typeof event>;

/** Events whose code is that of the ref they run for. Of all others (`pull_request_target`, `workflow_run`, …) it may be a stranger's. */
const OWN_CODE = ["push", "schedule", "workflow_dispatch", "merge_group", "release", "create"];
const PULL_REQUESTS = ["pull_request", "pull_request_review"];

export type CacheScopes = Pick<CacheRequest, "repository" | "read" | "write">;

/**
 * A branch writes its own caches and reads them and the default branch's; a pull request its own, and reads them, its base's and the default
 * branch's. A fork's pull request, and whatever may run code that is not the repository's, writes none.
 * @param code the code that is fetched instead of the checkout
 */
export function scopesOf(env: Environment, code?: CodeSource): CacheScopes {
  const told = event.safeParse(readPayload(env)).data;
  const scopes = scopesOfEvent(env, told);
  return code === undefined || isOwnCommit(code, env, told) ? scopes : { ...scopes, write: null };
}

/** Whether the code that is fetched is that of the event: any other commit may be a stranger's. */
function isOwnCommit({ repository, wanted }: CodeSource, env: Environment, told: Told | undefined): boolean {
  if (repository.toLowerCase() !== env.GITHUB_REPOSITORY?.toLowerCase()) return false;
  const own = [env.GITHUB_SHA, env.GITHUB_REF, told?.pull_request?.head.sha];
  return own.includes("commit" in wanted ? wanted.commit : wanted.name);
}

function scopesOfEvent(env: Environment, told: Told | undefined): CacheScopes {
  const server = (env.GITHUB_SERVER_URL ?? "https://github.com").replace(/^https?:\/\//, "");
  const repository = `${server}/${env.GITHUB_REPOSITORY ?? "unknown"}`.toLowerCase();
  const standard = told === undefined ? [] : [branch(told.repository.default_branch)];
  const name = env.GITHUB_EVENT_NAME ?? "";
  const pull = told?.pull_request;
  if (pull !== undefined && told !== undefined) {
    const base = branch(pull.base.ref);
    const isFork = pull.head.repo?.full_name.toLowerCase() !== told.repository.full_name.toLowerCase();
    const own = `refs/pull/${pull.number}`;
    const writes = !isFork && PULL_REQUESTS.includes(name);
    return {
      repository,
      read: unique([...(isFork ? [] : [own]), base, ...standard]),
      write: writes ? own : null,
    };
  }
  const ref = env.GITHUB_REF || "refs/heads/unknown";
  const writes = told !== undefined && OWN_CODE.includes(name) && !ref.startsWith("refs/pull/");
  return { repository, read: unique([ref, ...standard]), write: writes ? ref : null };
}

function branch(name: string): string {
  return `refs/heads/${name}`;
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}
