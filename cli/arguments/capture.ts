import { InvalidArgumentError } from "commander";
import { type CaptureTrigger, captureTriggers } from "../../api/closed-lists.ts";
import type { CapturePolicy } from "../../client/index.ts";

function isTrigger(text: string): text is CaptureTrigger {
  return (captureTriggers as readonly string[]).includes(text);
}

/** `on-failure`, `always`, `never`, or triggers such as `timeout,oom`. */
export function parseCapture(value: string): CapturePolicy {
  if (value === "on-failure" || value === "always" || value === "never") return value;
  const asked = value.split(",").map((word) => word.trim());
  if (asked.every(isTrigger)) return [...new Set(asked)];
  const wrong = asked.find((word) => !isTrigger(word)) ?? "";
  throw new InvalidArgumentError(
    `${JSON.stringify(wrong)} is none of on-failure, always, never, nor a trigger: ${captureTriggers.join(", ")}`,
  );
}
