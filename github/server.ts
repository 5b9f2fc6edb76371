/** Which GitHub a repository lies on, and where its API is. */
import { GitHubError } from "./error.ts";

type Environment = Record<string, string | undefined>;

export interface GitHubServer {
  /** Host of the API's credentials: `github.com`, `acme.ghe.com`, an Enterprise Server's. With its port when that is not the usual one. */
  host: string;
  apiUrl: string;
  /** Variables whose token is for this server. None for a host that a remote's URL alone named: a checkout must not choose who gets a token. */
  tokenVariables: readonly string[];
}

/** gh's variables. */
const ownVariables = ["GH_TOKEN", "GITHUB_TOKEN"];
const enterpriseVariables = ["GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"];
const ownHost = /^(github\.com|[a-z0-9-]+\.ghe\.com)$/;

function isLoopbackHost(hostname: string): boolean {
  return /^(localhost|\[::1\]|127(\.\d{1,3}){3})$/.test(hostname);
}

function parseApiUrl(text: string): URL {
  const hint = "for instance https://api.github.com, or https://HOST/api/v3";
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "")
    throw new GitHubError("usage", `GITHUB_API_URL is not an address of an API: ${text.slice(0, 200)}`, {
      hint,
    });
  if (url.protocol === "http:" && !isLoopbackHost(url.hostname))
    throw new GitHubError("usage", `GITHUB_API_URL would send the token without TLS: ${text.slice(0, 200)}`, {
      hint,
    });
  return url;
}

/**
 * @param host of the repository's remote; undefined when a repository was named without one
 * @throws GitHubError `usage` for a GITHUB_API_URL that is not one
 */
export function findServer(host: string | undefined, env: Environment): GitHubServer {
  if (env.GITHUB_API_URL) {
    const url = parseApiUrl(env.GITHUB_API_URL);
    const host = url.host.replace(/^api\.(?=github\.com$|[a-z0-9-]+\.ghe\.com$)/, "");
    const enterprise = host === env.GH_HOST?.toLowerCase() ? enterpriseVariables : [];
    return { host, apiUrl: url.href, tokenVariables: [...enterprise, ...ownVariables] };
  }
  const name = (host ?? env.GH_HOST ?? "github.com")
    .toLowerCase()
    .replace(/^(www|ssh)\.(?=github\.com$)/, "");
  if (ownHost.test(name)) return { host: name, apiUrl: `https://api.${name}`, tokenVariables: ownVariables };
  const isChosen = name === env.GH_HOST?.toLowerCase();
  return {
    host: name,
    apiUrl: `https://${name}/api/v3`,
    tokenVariables: isChosen ? enterpriseVariables : [],
  };
}
