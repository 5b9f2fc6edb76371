/** What a step finds in its environment, besides its inputs and its files: GitHubContext.cs, RunnerContext.cs, NodeScriptActionHandler.cs. */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";

/** What of this process's environment a runner's service would have. */
const SERVICE = /^(PATH|HOME|USER|LOGNAME|LANG|TZ|TMPDIR|THAW_.*|XDG_.*|NO_COLOR)$/;

export interface Folders {
  work: string;
  temp: string;
  tools: string;
  workspace: string;
}

export interface Event {
  name: string;
  path: string;
  payload: Record<string, unknown>;
}

/** Nothing listens there: a step that calls a service of GitHub's is told so at once. */
const NOBODY = "http://127.0.0.1:9/";

/** What no sandbox may see. */
export interface JobSecrets {
  runtimeToken: string;
  githubToken: string;
}

export function makeSecrets(): JobSecrets {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  // Services of a run know the run and the job by the token's scope.
  const scp = `Actions.GenericRead:00000000 Actions.Results:${randomUUID()}:${randomUUID()}`;
  const runtimeToken = [part({ alg: "none" }), part({ scp }), randomUUID()].join(".");
  return { runtimeToken, githubToken: `ghs_${randomUUID().replaceAll("-", "")}` };
}

export function serviceEnvironment(trackingId: string): Record<string, string> {
  const kept = Object.entries(process.env).filter(([name]) => SERVICE.test(name)) as [string, string][];
  return { ...Object.fromEntries(kept), RUNNER_TRACKING_ID: trackingId, GITHUB_ACTIONS: "true", CI: "true" };
}

/** The `github` context, whose texts become GITHUB_*. */
export function githubContext({ workspace }: Folders, event: Event): Record<string, string> {
  const repository = (event.payload.repository as { full_name?: string } | undefined)?.full_name;
  const sha = "8f3c1d2e5b7a9046c1e2d3f4a5b6c7d8e9f0a1b2";
  const name = repository ?? "acme/shop";
  return {
    action: "__acme_thaw",
    action_ref: "v1",
    action_repository: "thaw-ci/thaw",
    actor: "octocat",
    actor_id: "1",
    api_url: "https://api.github.com",
    base_ref: "",
    event_name: event.name,
    event_path: event.path,
    graphql_url: "https://api.github.com/graphql",
    head_ref: "",
    job: "test",
    ref: "refs/heads/main",
    ref_name: "main",
    ref_protected: "false",
    ref_type: "branch",
    repository: name,
    repository_id: "1",
    repository_owner: name.split("/")[0] ?? "",
    repository_owner_id: "1",
    retention_days: "90",
    run_attempt: "1",
    run_id: "5204",
    run_number: "41",
    server_url: "https://github.com",
    sha,
    triggering_actor: "octocat",
    workflow: "ci",
    workflow_ref: `${name}/.github/workflows/ci.yml@refs/heads/main`,
    workflow_sha: sha,
    workspace,
  };
}

export function runnerEnvironment({ work, temp, tools }: Folders, { runtimeToken }: JobSecrets) {
  return {
    RUNNER_ARCH: "X64",
    RUNNER_ENVIRONMENT: "self-hosted",
    RUNNER_NAME: "ci-3",
    RUNNER_OS: "Linux",
    RUNNER_TEMP: temp,
    RUNNER_TOOL_CACHE: tools,
    RUNNER_WORKSPACE: work,
    ACTIONS_CACHE_URL: NOBODY,
    ACTIONS_ID_TOKEN_REQUEST_TOKEN: runtimeToken,
    ACTIONS_ID_TOKEN_REQUEST_URL: NOBODY,
    ACTIONS_RESULTS_URL: NOBODY,
    ACTIONS_RUNTIME_TOKEN: runtimeToken,
    ACTIONS_RUNTIME_URL: NOBODY,
  };
}

/** The Node a runner would start; `node` of npm's package where this process is another. */
export function findNode(): string {
  const own = `${import.meta.dirname}/../../node_modules/.bin/node`;
  return process.versions.node.startsWith("24.") || !existsSync(own) ? process.execPath : own;
}
