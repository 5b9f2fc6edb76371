/** Who goes first when the kernel runs out of memory: everything else before the daemon. */
import { readFileSync, writeFileSync } from "node:fs";

/**
 * A child inherits the score that this process has lowered for itself. Helpers may use much memory and their work can be done again, so they are
 * not protected. @param child of this process, not waited for yet
 */
export function unprotect({ pid }: { readonly pid?: number | undefined }): void {
  if (pid === undefined) return;
  try {
    if (Number(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8")) < 0)
      writeFileSync(`/proc/${pid}/oom_score_adj`, "0");
  } catch {
    // It has ended already.
  }
}
