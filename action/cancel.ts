/** The runner's way to end a step: SIGINT, 7.5 s later SIGTERM, 2.5 s later SIGKILL. */
import { ThawError } from "../client/index.ts";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

export class Cancelled extends ThawError {
  constructor(signal: string) {
    super("cancelled", `the step was cancelled (${signal})`);
  }
}

/** Aborts at the first of the runner's signals, until disposed of. */
export function abortOnCancel(): { signal: AbortSignal } & Disposable {
  const abort = new AbortController();
  const hear = (signal: string): void => abort.abort(new Cancelled(signal));
  for (const signal of SIGNALS) process.on(signal, hear);
  return {
    signal: abort.signal,
    [Symbol.dispose]: () => {
      for (const signal of SIGNALS) process.removeListener(signal, hear);
    },
  };
}
