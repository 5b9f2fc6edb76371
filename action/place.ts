/** What the runner says of the place that a step runs at. */
import { readFileSync } from "node:fs";

type Environment = Readonly<Record<string, string | undefined>>;

/** The runner mounts its folders at fixed places of a job's container. */
export function isJobContainer(env: Environment): boolean {
  return [env.GITHUB_WORKSPACE, env.RUNNER_TEMP].some((path) => path?.startsWith("/__w/") === true);
}

export function isHosted(env: Environment): boolean {
  return env.RUNNER_ENVIRONMENT === "github-hosted";
}

const MAX_EVENT_BYTES = 32 << 20;

/** Whether anybody can read the repository; undefined when the event doesn't tell. */
export function isPublicRepository(env: Environment): boolean | undefined {
  try {
    const text = readFileSync(env.GITHUB_EVENT_PATH ?? "", "utf8");
    if (text.length > MAX_EVENT_BYTES) return undefined;
    const { repository } = JSON.parse(text) as {
      repository?: { private?: unknown; visibility?: unknown };
    };
    if (typeof repository?.visibility === "string") return repository.visibility === "public";
    return typeof repository?.private === "boolean" ? !repository.private : undefined;
  } catch {
    return undefined;
  }
}
