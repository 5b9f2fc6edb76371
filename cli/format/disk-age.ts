import type { Capture } from "../../client/index.ts";
import { formatElapsed } from "./age.ts";

/** How far a capture's disk may be behind its memory, in a sentence; null when it is not. */
export function describeDiskAge({ disk, createdAt }: Pick<Capture, "disk" | "createdAt">): string | null {
  if (disk.writtenOut) return null;
  if (disk.asOf === null)
    return "its disk was not written out before the freeze: what was written shortly before the failure and not synced may be missing or old";
  const behindMs = Math.max(0, Date.parse(createdAt) - Date.parse(disk.asOf));
  return `its disk is as of up to ${formatElapsed(behindMs)} before the failure: what was written since then and not synced may be missing or old`;
}
