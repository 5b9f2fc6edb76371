/** GitHub's refusals in words. */
import { GitHubError } from "./error.ts";

/** What is known of a request that failed. */
export interface FailedRequest {
  /** `GET /repos/acme/shop`. */
  request: string;
  status: number;
  headers: Readonly<Record<string, string | number | undefined>>;
  /** GitHub's own message. */
  message: string;
  hasToken: boolean;
}

const longestMessage = 300;
const getToken = "set GITHUB_TOKEN, or gh auth login";

function shorten(text: string): string {
  return text.length > longestMessage ? `${text.slice(0, longestMessage)}…` : text;
}

/** `x-accepted-github-permissions` (`issues=write; pull_requests=write`) as a workflow writes it; alternatives joined by `or`. */
export function formatPermissions(header: string | number | undefined): string | undefined {
  const alternatives = String(header ?? "")
    .split(";")
    .map((set) => [...set.matchAll(/([a-z_]{1,40})=(read|write|admin)/g)])
    .filter((set) => set.length > 0)
    .map((set) => set.map(([, name = "", level]) => `${name.replaceAll("_", "-")}: ${level}`).join(", "));
  return alternatives.length === 0 ? undefined : alternatives.join(" or ");
}

function formatReset(epochSeconds: number, nowMs: number): string {
  const minutes = Math.max(1, Math.ceil((epochSeconds * 1000 - nowMs) / 60_000));
  return `at ${new Date(epochSeconds * 1000).toISOString().slice(11, 16)} UTC, in ${minutes} min`;
}

/** When a limit ends, in words; undefined when the answer is not about a limit. */
function limitOf({ status, headers, message }: FailedRequest, nowMs: number): string | undefined {
  if (status !== 403 && status !== 429) return undefined;
  const reset = Number(headers["x-ratelimit-reset"]);
  if (
    String(headers["x-ratelimit-remaining"]) === "0" &&
    Number.isSafeInteger(reset) &&
    reset > 0 &&
    reset < 1e11
  )
    return `the rate limit of ${headers["x-ratelimit-limit"] ?? "?"} requests an hour is used up; it resets ${formatReset(reset, nowMs)}`;
  const after = Number(headers["retry-after"]);
  if (status === 429 || Number.isFinite(after) || /secondary rate limit|abuse detection/i.test(message)) {
    const wait = Number.isFinite(after) && after >= 0 ? `in ${Math.ceil(after)} s` : "in a few minutes";
    return `too many requests in a short time (secondary rate limit); try again ${wait}`;
  }
  return undefined;
}

/** The error that says what a person can do about a refusal. */
export function translateRefusal(failed: FailedRequest, nowMs: number = Date.now()): GitHubError {
  const { request, status, headers, hasToken } = failed;
  const said = shorten(failed.message);
  const limit = limitOf(failed, nowMs);
  if (limit !== undefined)
    return new GitHubError("github-denied", `GitHub refuses ${request}: ${limit}`, {
      status,
      hint: hasToken ? "try again after that time" : `with a token the limit is 5000 an hour: ${getToken}`,
    });
  if (status === 401)
    return new GitHubError("github-denied", `GitHub does not accept the token (401): ${said}`, {
      status,
      hint: `it may have expired: ${getToken}`,
    });
  if (status === 403) {
    const permission = formatPermissions(headers["x-accepted-github-permissions"]);
    const sso =
      headers["x-github-sso"] === undefined
        ? undefined
        : "authorize the token for the organization (SAML SSO)";
    const needs = permission === undefined ? said : `the token lacks the permission ${permission}`;
    return new GitHubError("github-denied", `GitHub refuses ${request} (403): ${needs}`, {
      ...{ status, permission },
      hint: sso ?? (permission === undefined ? getToken : `in a workflow: permissions: { ${permission} }`),
    });
  }
  if (status === 404 || status === 410)
    return new GitHubError("not-found", `GitHub has no ${request.replace(/^[A-Z]+ /, "")} (${status})`, {
      status,
      hint: hasToken
        ? "it does not exist, or the token may not read it"
        : `it does not exist, or it is private: ${getToken}`,
    });
  if (status >= 500)
    return new GitHubError("github-unreachable", `GitHub failed at ${request} (${status}): ${said}`, {
      status,
      hint: "try again; https://www.githubstatus.com",
    });
  return new GitHubError("internal", `GitHub refuses ${request} (${status}): ${said}`, { status });
}
