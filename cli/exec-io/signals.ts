import { constants } from "node:os";

/** Signals that are passed on to the guest. */
const forwarded = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;
const impatienceMs = 2000;

/** The exit code of a process that a signal ended: 128 + its number. */
export function signalExitCode(signal: string): number {
  return 128 + (constants.signals[signal as NodeJS.Signals] ?? 0);
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
    const impatient = signal === "SIGINT" && now - lastInterrupt < impatienceMs;
    if (signal === "SIGINT") lastInterrupt = now;
    if (impatient || !handlers.canForward()) handlers.giveUp(signal);
    else handlers.forward(signal);
  };
  for (const signal of forwarded) process.on(signal, hear);
  return {
    [Symbol.dispose]: () => {
      for (const signal of forwarded) process.removeListener(signal, hear);
    },
  };
}
