/** A signal that aborts when its time is up or when another one aborts. */
import { paced } from "../../host/pace.ts";
import { RunnerError } from "../runner.ts";

export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
}

/** After `timeoutMs`, at this host's pace, the signal aborts with a `timeout` error saying `what` within how long. Dispose of it when done. */
export function deadlineSignal(what: string, timeoutMs: number, outer?: AbortSignal): Deadline {
  const controller = new AbortController();
  const waitMs = paced(timeoutMs);
  const timer = setTimeout(() => {
    controller.abort(new RunnerError("timeout", `${what} within ${waitMs / 1000} s`));
  }, waitMs);
  const onAbort = (): void => controller.abort(outer?.reason);
  if (outer?.aborted) onAbort();
  outer?.addEventListener("abort", onAbort, { once: true });
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      clearTimeout(timer);
      outer?.removeEventListener("abort", onAbort);
    },
  };
}
