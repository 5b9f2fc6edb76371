/** The payload of the event that the workflow runs for. Texts in it may be a stranger's. */
import { readFileSync } from "node:fs";

const MAX_BYTES = 32 << 20;

/** @returns undefined when there is none that can be read */
export function readPayload(env: Readonly<Record<string, string | undefined>>): unknown {
  try {
    const text = readFileSync(env.GITHUB_EVENT_PATH ?? "", "utf8");
    return text.length > MAX_BYTES ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
