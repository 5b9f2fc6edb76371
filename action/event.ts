/** The event that the workflow runs for. */
import { readPayload } from "./payload.ts";
import { type PullRequestEvent, readPullRequestEvent } from "./pull-request.ts";

/** What the event says of a pull request; undefined when it is about none. */
export function readEvent(env: Readonly<Record<string, string | undefined>>): PullRequestEvent | undefined {
  return readPullRequestEvent(env.GITHUB_EVENT_NAME ?? "", readPayload(env));
}
