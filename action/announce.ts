/** Announces a step's capture by a notice on the job, where `thaw open` reads it (docs/decisions/0101). */
import { formatCaptureNotice } from "../github/capture-notice.ts";
import type { KeptCapture } from "./capture.ts";

/**
 * @param about step and ending: in words
 * @returns title and message for `core.notice`; undefined when nothing was kept, or where it is can't be told in a notice
 */
export function announce(
  { capture }: { capture: Pick<KeptCapture, "id" | "place"> | undefined },
  about: { step: string; ending: string },
): { title: string; message: string } | undefined {
  if (capture === undefined) return undefined;
  const { id, place } = capture;
  try {
    return formatCaptureNotice({ id, place, ...about });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
