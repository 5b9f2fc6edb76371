/** What the runner says of the place that a step runs at. */
import { readPayload } from "./payload.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** The runner mounts its folders at fixed places of a job's container. */
export function isJobContainer(env: Environment): boolean {
  return [env.GITHUB_WORKSPACE, env.RUNNER_TEMP].some((path) => path?.startsWith("/__w/") === true);
}

export function isHosted(env: Environment): boolean {
  return env.RUNNER_ENVIRONMENT === "github-hosted";
}

/** Why no artifact can be written here; undefined where it can. */
export function findArtifactRefusal(env: Environment): string | undefined {
  const server = env.GITHUB_SERVER_URL || "https://github.com";
  const host = URL.canParse(server) ? new URL(server).hostname : server;
  if (!/^(github\.com|.*\.ghe\.com|.*\.localhost)$/i.test(host))
    return `${host} is a GitHub Enterprise Server, and its artifact service does not support the current protocol of @actions/artifact: use host, or oci:HOST/REPOSITORY`;
  if (!env.ACTIONS_RESULTS_URL || !env.ACTIONS_RUNTIME_TOKEN)
    return "the runner has no artifact service (ACTIONS_RESULTS_URL and ACTIONS_RUNTIME_TOKEN are not set): use host, or oci:HOST/REPOSITORY";
  return undefined;
}

/** Whether anybody can read the repository; undefined when the event doesn't tell. */
export function isPublicRepository(env: Environment): boolean | undefined {
  const payload = readPayload(env) as
    | { repository?: { private?: unknown; visibility?: unknown } }
    | undefined;
  const repository = payload?.repository;
  if (typeof repository?.visibility === "string") return repository.visibility === "public";
  return typeof repository?.private === "boolean" ? !repository.private : undefined;
}
