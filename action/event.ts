/** The event that the workflow runs for. */
import { readFileSync } from "node:fs";
import { type PullRequestEvent, readPullRequestEvent } from "./pull-request.ts";

/** What the event says of a pull request; undefined when it is about none. */
export function readEvent(env: Readonly<Record<string, string | undefined>>): PullRequestEvent | undefined {
  let payload: unknown;
  try {
    payload = JSON.parse(readFileSync(env.GITHUB_EVENT_PATH ?? "", "utf8"));
  } catch {
    return undefined;
  }
  return readPullRequestEvent(env.GITHUB_EVENT_NAME ?? "", payload);
}
