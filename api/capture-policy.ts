/** Which ends of a command keep the machine, as people write it: in flags and in a workflow's inputs. */
import { CAPTURE_TRIGGERS, type CaptureTrigger } from "./closed-lists.ts";

export type WrittenCapturePolicy = "on-failure" | "always" | "never" | CaptureTrigger[];

function isTrigger(text: string): text is CaptureTrigger {
  return (CAPTURE_TRIGGERS as readonly string[]).includes(text);
}

/** Parses `on-failure`, `always`, `never`, or triggers such as `timeout,oom`. @throws RangeError */
export function parseCapturePolicy(text: string): WrittenCapturePolicy {
  if (text === "on-failure" || text === "always" || text === "never") return text;
  const asked = text.split(",").map((word) => word.trim());
  if (asked.every(isTrigger)) return [...new Set(asked)];
  const wrong = asked.find((word) => !isTrigger(word)) ?? "";
  throw new RangeError(
    `${JSON.stringify(wrong)} is not on-failure, always, never or a list of triggers: ${CAPTURE_TRIGGERS.join(", ")}`,
  );
}
