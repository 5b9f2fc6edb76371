import { diff } from "node:util";
import { cleanText } from "../../format/clean-text.ts";
import { styleErr, writeErr } from "../../output.ts";
import type { Planned } from "./write.ts";

/** By the side that has the line: before, both, or after. */
const MARKS = {
  1: { mark: "-", style: "red" },
  0: { mark: " ", style: "dim" },
  [-1]: { mark: "+", style: "green" },
} as const;

/** A file's lines before and after, on stderr. */
export function showPlan({ path, text, before }: Planned): void {
  if (before === text) {
    writeErr(`  ${path} is there as it would be written\n`);
    return;
  }
  writeErr(`${styleErr("bold", path)}${before === undefined ? "  new" : ""}\n`);
  const lines = (content: string): string[] => (content === "" ? [] : content.trimEnd().split("\n"));
  for (const [operation, line] of diff(lines(before ?? ""), lines(text))) {
    const { mark, style } = MARKS[operation];
    writeErr(`  ${styleErr(style, `${mark} ${cleanText(line)}`)}\n`);
  }
}
