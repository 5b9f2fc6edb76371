/** Text that a guest, a branch or a file named: always text, and what would hide or turn it is shown. */
import { visibleText } from "../../api/clean-text.ts";

/** @param text somebody else's */
export function Text({ text, className }: { text: string; className?: string }) {
  return (
    <bdi {...(className === undefined ? {} : { className })} title={visibleText(text)}>
      {visibleText(text)}
    </bdi>
  );
}
