import { styleOut } from "../output.ts";
import { cleanText } from "./clean-text.ts";

/** A line for each part: whether it is what it was. */
export function formatVerdicts(
  parts: readonly { name: string; ok: boolean; reason?: string | undefined }[],
): string {
  return parts
    .map(({ name, ok, reason = "" }) => {
      const mark = ok ? styleOut("green", "✓") : styleOut("red", "✗");
      return ` ${mark} ${cleanText(`${name}  ${reason}`).trimEnd()}\n`;
    })
    .join("");
}
