/** Whether this runner's host outlives the job. */
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";

type Environment = Readonly<Record<string, string | undefined>>;
const MAX_BYTES = 65_536;

/** The settings that the runner keeps beside its work folder; undefined when they can't be read. */
async function readRunnerSettings(temp: string): Promise<{ ephemeral?: unknown } | undefined> {
  try {
    await using file = await open(join(dirname(dirname(temp)), ".runner"));
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_BYTES), 0, MAX_BYTES, 0);
    const settings: unknown = JSON.parse(buffer.toString("utf8", 0, bytesRead).replace(/^\uFEFF/, ""));
    return settings === null || typeof settings !== "object" ? undefined : lowerCaseKeys(settings);
  } catch {
    return undefined;
  }
}

function lowerCaseKeys(value: object): { ephemeral?: unknown } {
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key.toLowerCase(), inner]));
}

/** Why a sandbox can't stay on this host behind the job; undefined when it can. */
export async function findEphemeralReason(env: Environment): Promise<string | undefined> {
  if (env.RUNNER_ENVIRONMENT === "github-hosted")
    return "GitHub-hosted runners are deleted after the job: a preview needs a self-hosted runner";
  const settings = env.RUNNER_TEMP ? await readRunnerSettings(env.RUNNER_TEMP) : undefined;
  const flag = settings?.ephemeral;
  if (flag === true || String(flag).toLowerCase() === "true")
    return "this runner is ephemeral, and its host may be deleted after the job: a preview needs a runner that stays";
  return undefined;
}
