import type { RepositoryName } from "./client.ts";
import { GitHubError } from "./error.ts";

const ownerPattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,38}$/;
const namePattern = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}$/;
const hostPattern = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:\d{1,5})?$/;

/** A repository and the host that a remote's URL names. */
export interface RemoteRepository extends RepositoryName {
  host: string;
}

function toName(owner = "", repo = ""): RepositoryName | undefined {
  const name = repo.replace(/\.git$/, "");
  return ownerPattern.test(owner) && namePattern.test(name) ? { owner, repo: name } : undefined;
}

/** `https://HOST/OWNER/NAME.git`, `ssh://git@HOST/…`, `git@HOST:OWNER/NAME.git`; undefined for all else. The URL is a stranger's text. */
export function parseRemoteUrl(url: string): RemoteRepository | undefined {
  if (url.length > 2000) return undefined;
  const scheme = /^(https?|ssh|git|git\+ssh):\/\/(?:[^/@\s]*@)?([^/\s]+)\/+([^/\s]+)\/([^/\s]+?)\/?$/i.exec(
    url,
  );
  const scp = /^(?:[^/@:\s]+@)?([^/:\s]+):\/?([^/\s]+)\/([^/\s]+?)\/?$/.exec(url);
  const [host = "", owner, repo] = scheme === null ? (scp?.slice(1) ?? []) : scheme.slice(2);
  const found = toName(owner, repo);
  const isWeb = scheme !== null && /^https?$/i.test(scheme[1] ?? "");
  // A port of ssh's says nothing of the API's.
  const own = (isWeb ? host.replace(/:443$/, "") : host.replace(/:\d+$/, "")).toLowerCase();
  return found !== undefined && hostPattern.test(own) ? { host: own, ...found } : undefined;
}

/** `OWNER/NAME`. */
export function nameOf({ owner, repo }: RepositoryName): string {
  return `${owner}/${repo}`;
}

/** `OWNER/NAME` or `HOST/OWNER/NAME`, as a person types it. @throws GitHubError `usage` */
export function parseRepository(text: string): RepositoryName & { host?: string } {
  const [name, owner, host, ...more] = text.split("/").reverse();
  const found = toName(owner, name);
  if (found === undefined || more.length > 0 || (host !== undefined && !hostPattern.test(host)))
    throw new GitHubError("usage", `${text.slice(0, 200)} is not OWNER/NAME`, {
      hint: "for instance --repo acme/shop",
    });
  return host === undefined ? found : { ...found, host: host.toLowerCase() };
}
