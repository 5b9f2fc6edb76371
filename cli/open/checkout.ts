import { type Checkout, findCheckout, ThawError } from "../../client/index.ts";
import { parseRemoteUrl, parseRepository, type RepositoryName } from "../../github/index.ts";
import type { NamedRun } from "./run-argument.ts";

/** The repository that is asked about, and what the checkout adds to it. */
export interface Where {
  host: string | undefined;
  /** Where the branch is pushed to. */
  head: RepositoryName;
  /** The remote called `upstream`, when it is another. */
  upstream: RepositoryName | undefined;
  /** Names that the branch may have there, the likeliest first; none when HEAD is detached, or a repository was named. */
  branches: string[];
  /** The pull request that the branch was fetched from. */
  pr: number | undefined;
}

const NAME_IT = "thaw open --repo OWNER/NAME --run NUMBER";

function branchesOf({ branch, follows }: Checkout): string[] {
  const followed = /^refs\/heads\/(.+)$/s.exec(follows ?? "")?.[1];
  return [...new Set([branch, followed])].filter((name) => name !== undefined);
}

function findRemotes({ remotes, pushRemote, folder }: Checkout): Pick<Where, "host" | "head" | "upstream"> {
  const known = remotes.flatMap(({ name, url }) => {
    const repository = parseRemoteUrl(url);
    return repository === undefined ? [] : [{ name, ...repository }];
  });
  const byUrl = pushRemote === undefined ? undefined : parseRemoteUrl(pushRemote);
  const named = (name: string | undefined) => known.find((remote) => remote.name === name);
  const head = named(pushRemote) ?? byUrl ?? named("origin") ?? known[0];
  if (head === undefined) {
    const names = remotes.map(({ name }) => name).join(", ");
    const why =
      remotes.length === 0 ? "has no remote" : `has no remote that names OWNER/NAME on a host (${names})`;
    throw new ThawError("usage", `the repository ${folder} ${why}`, { hint: NAME_IT });
  }
  const upstream = named("upstream");
  const isOther = upstream !== undefined && (upstream.owner !== head.owner || upstream.repo !== head.repo);
  const { host, owner, repo } = head;
  return { host, head: { owner, repo }, upstream: isOther && upstream.host === host ? upstream : undefined };
}

/**
 * Where to look: the repository that was named, else the checkout's.
 * @throws ThawError `usage` when this is no checkout, or it says nothing of a GitHub
 */
export function findWhere(from: string, flags: { repo?: string; run?: NamedRun; pr?: number }): Where {
  const name = flags.repo ?? flags.run?.repository;
  if (name !== undefined) {
    const { host, owner, repo } = parseRepository(name);
    return { host, head: { owner, repo }, upstream: undefined, branches: [], pr: undefined };
  }
  const checkout = findCheckout(from);
  if (checkout === undefined)
    throw new ThawError("usage", "this folder is not in a git checkout", { hint: NAME_IT });
  const where = findRemotes(checkout);
  const isNamed = flags.run !== undefined || flags.pr !== undefined;
  if (checkout.branch === undefined && !isNamed)
    throw new ThawError("usage", "HEAD is detached: no branch is checked out", {
      hint: "git switch BRANCH, thaw open --pr NUMBER, or thaw open --run NUMBER",
    });
  const pr = /^refs\/pull\/(\d{1,10})\/(head|merge)$/.exec(checkout.follows ?? "")?.[1];
  return { ...where, branches: branchesOf(checkout), pr: pr === undefined ? undefined : Number(pr) };
}
