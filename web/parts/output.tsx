import { useMemo } from "react";
import { parseLines } from "./ansi.ts";

/** Lines of a program's output, with their colours. */
export function Output({
  lines,
  label,
  isGrowing = false,
}: {
  lines: readonly string[];
  label: string;
  /** More is to come. */
  isGrowing?: boolean;
}) {
  const parsed = useMemo(() => parseLines(lines), [lines]);
  if (lines.length === 0) return <p className="dim">No output.</p>;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls can be reached by keys
    <pre className="output" role="group" tabIndex={0} aria-label={label} aria-busy={isGrowing}>
      {parsed.map((pieces, line) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: lines have no other name, and never move
        <span className="line" key={line}>
          {pieces.map(({ text, className }, piece) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: as above
            <span key={piece} className={className === "" ? undefined : className}>
              {text}
            </span>
          ))}
          {"\n"}
        </span>
      ))}
    </pre>
  );
}
