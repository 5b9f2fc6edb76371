import { InvalidArgumentError } from "commander";
import type { CapturePolicy } from "../../client/index.ts";

const words = ["exit", "signal", "timeout", "oom", "panic", "cancel"] as const;
type Word = (typeof words)[number];

function isWord(text: string): text is Word {
  return (words as readonly string[]).includes(text);
}

/** `on-failure`, `always`, `never`, or triggers such as `timeout,oom`. */
export function parseCapture(value: string): CapturePolicy {
  if (value === "on-failure" || value === "always" || value === "never") return value;
  const asked = value.split(",").map((word) => word.trim());
  if (asked.every(isWord)) return [...new Set(asked)];
  const wrong = asked.find((word) => !isWord(word)) ?? "";
  throw new InvalidArgumentError(
    `${JSON.stringify(wrong)} is none of on-failure, always, never, nor a trigger: ${words.join(", ")}`,
  );
}
