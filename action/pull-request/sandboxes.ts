/** The sandboxes that are previews: how they are named and known, which one counts, and when one answers. */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { type Sandbox, type Thaw, ThawError } from "../../client/index.ts";
import { nameOf, type RepositoryName } from "../../github/index.ts";
import { keyOf, type PullRequestHead } from "./event.ts";

type About = Pick<PullRequestHead, "repository" | "number">;

const LABELS = {
  of: "thaw.preview",
  repository: "thaw.preview.repository",
  branch: "thaw.preview.branch",
  sha: "thaw.preview.sha",
  run: "thaw.preview.run",
} as const;
const POLL_MS = 250;
const REQUEST_MS = 10_000;

/** Which run of a workflow made a preview. */
export interface RunNumber {
  id: number;
  attempt: number;
}

/** `shop-pr-412-9f3c1e`: the repository, the pull request, and what tells pushes and repositories of one name apart. */
export function previewName(about: About, { id, attempt }: RunNumber): string {
  const slug = about.repository.repo
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .slice(0, 18)
    .replaceAll(/^-+|-+$/g, "");
  const apart = createHash("sha256")
    .update(`${keyOf(about)} ${id} ${attempt}`)
    .digest("hex")
    .slice(0, 6);
  return `${slug === "" ? "preview" : slug}-pr-${about.number}-${apart}`;
}

/** Labels by which a sandbox is a pull request's preview. */
export function previewLabels(head: PullRequestHead, { id, attempt }: RunNumber): Record<string, string> {
  return {
    [LABELS.of]: keyOf(head),
    [LABELS.repository]: nameOf(head.repository).toLowerCase(),
    [LABELS.branch]: head.branch.slice(0, 1024),
    [LABELS.sha]: head.sha,
    [LABELS.run]: `${id}-${attempt}`,
  };
}

export function shaOf({ info }: Sandbox): string {
  return info.labels[LABELS.sha] ?? "";
}

function runOf({ info }: Sandbox): RunNumber {
  const [, id, attempt] = /^(\d{1,15})-(\d{1,6})$/.exec(info.labels[LABELS.run] ?? "") ?? [];
  return { id: Number(id ?? 0), attempt: Number(attempt ?? 0) };
}

/** The pull request's previews on this host, that of the newest run first. */
export async function listPreviews(thaw: Thaw, about: About, signal?: AbortSignal): Promise<Sandbox[]> {
  const found = await thaw.sandboxes.list({ labels: [`${LABELS.of}=${keyOf(about)}`], signal });
  return found.sort(
    (a, b) =>
      runOf(b).id - runOf(a).id ||
      runOf(b).attempt - runOf(a).attempt ||
      Date.parse(b.info.createdAt) - Date.parse(a.info.createdAt),
  );
}

/** The pull requests whose previews are of a branch of the repository itself. */
export async function findByBranch(
  thaw: Thaw,
  { repository, branch }: { repository: RepositoryName; branch: string },
  signal?: AbortSignal,
): Promise<number[]> {
  const labels = [`${LABELS.repository}=${nameOf(repository).toLowerCase()}`, `${LABELS.branch}=${branch}`];
  const found = await thaw.sandboxes.list({ labels, signal });
  const numbers = found.map(({ info }) => Number(/#(\d+)$/.exec(info.labels[LABELS.of] ?? "")?.[1] ?? 0));
  return [...new Set(numbers)].filter((number) => number > 0);
}

/** Removes them; one that is gone already is no failure. */
export async function removeAll(sandboxes: readonly Sandbox[], signal?: AbortSignal): Promise<void> {
  for (const sandbox of sandboxes)
    await sandbox.remove({ signal }).catch((error: unknown) => {
      if (!(error instanceof ThawError && error.code === "not-found")) throw error;
    });
}

async function asksOnce(url: string, signal: AbortSignal): Promise<boolean> {
  try {
    const answer = await fetch(url, {
      redirect: "manual",
      signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MS)]),
    });
    await answer.body?.cancel();
    return answer.status < 500;
  } catch {
    return false;
  }
}

/**
 * Waits until HTTP at a port of the sandbox answers with anything but a failure.
 * @throws ThawError `timeout` after `withinMs`
 */
export async function waitForAnswer(
  sandbox: Sandbox,
  { port, withinMs, signal }: { port: number; withinMs: number; signal: AbortSignal },
): Promise<void> {
  const late = AbortSignal.timeout(withinMs);
  const either = AbortSignal.any([signal, late]);
  const forward = await sandbox.ports.add({ address: "127.0.0.1", port: 0, guest: port }, { signal: either });
  try {
    while (!(await asksOnce(`http://127.0.0.1:${forward.port}/`, either))) {
      signal.throwIfAborted();
      if (late.aborted)
        throw new ThawError(
          "timeout",
          `port ${port} of ${sandbox.name} did not answer within ${withinMs / 1000} s`,
          {
            hint: "the script must start the server in the background and leave it running",
          },
        );
      await sleep(POLL_MS, undefined, { signal: either }).catch(() => {});
    }
  } finally {
    if (forward.port !== null) await sandbox.ports.remove(forward.port).catch(() => {});
  }
}
