/** Announces a step's capture by a notice on the job, where `thaw open` reads it (docs/decisions/0101). */
import { type CapturePlace, formatCaptureNotice } from "../github/capture-notice.ts";
import type { KeptCapture } from "./capture.ts";

/**
 * @param about step and ending: in words
 * @returns title and message for `core.notice`; undefined when nothing was kept, or where it is can't be told in a notice
 */
export function announce(
  { capture, host }: { capture: Pick<KeptCapture, "id" | "reference"> | undefined; host: string },
  about: { step: string; ending: string },
): { title: string; message: string } | undefined {
  if (capture === undefined) return undefined;
  const { id, reference } = capture;
  const place: CapturePlace = reference === id ? { kind: "host", host } : { kind: "store", reference };
  try {
    return formatCaptureNotice({ id, place, ...about });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
