import { signalExitCode } from "../../api/exit-code.ts";
import { ThawError } from "../../client/index.ts";

/** Signals that are passed on to the guest. */
const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;
const IMPATIENCE_MS = 2000;

/** Thrown when our own signals ended things: the exit code says which. */
export class Interrupted extends ThawError {
  readonly #signal: string;

  constructor(signal: string) {
    super("cancelled", `interrupted by ${signal}`);
    this.#signal = signal;
  }

  override get exitCode(): number {
    return signalExitCode(this.#signal);
  }
}

/** Aborts at the first signal that would end us, until disposed of. */
export function abortOnSignals(): { signal: AbortSignal } & Disposable {
  const abort = new AbortController();
  const hear = (signal: string): void => abort.abort(new Interrupted(signal));
  for (const signal of FORWARDED) process.on(signal, hear);
  return {
    signal: abort.signal,
    [Symbol.dispose]: () => {
      for (const signal of FORWARDED) process.removeListener(signal, hear);
    },
  };
}

/** Who hears of our signals. */
export interface SignalHandlers {
  forward: (signal: string) => void;
  /** A second Ctrl-C within 2 s, or a signal before there is anything to forward it to. */
  giveUp: (signal: string) => void;
  /** Whether there is a command to forward to. */
  canForward: () => boolean;
}

/** Takes our signals over until disposed of. */
export function watchSignals(handlers: SignalHandlers): Disposable {
  let lastInterrupt = Number.NEGATIVE_INFINITY;
  const hear = (signal: NodeJS.Signals): void => {
    const now = performance.now();
    const impatient = signal === "SIGINT" && now - lastInterrupt < IMPATIENCE_MS;
    if (signal === "SIGINT") lastInterrupt = now;
    if (impatient || !handlers.canForward()) handlers.giveUp(signal);
    else handlers.forward(signal);
  };
  for (const signal of FORWARDED) process.on(signal, hear);
  return {
    [Symbol.dispose]: () => {
      for (const signal of FORWARDED) process.removeListener(signal, hear);
    },
  };
}
