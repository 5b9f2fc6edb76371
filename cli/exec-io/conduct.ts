import { setTimeout as elapse } from "node:timers/promises";
import {
  type ExecConnection,
  type ExecHandlers,
  type ExecInfo,
  type StatusMessage,
  systemCode,
} from "../../client/index.ts";
import type { DetachKeys } from "../arguments/detach-keys.ts";
import { DetachReader } from "./detach-reader.ts";
import type { ExecFlags } from "./flags.ts";
import { Screen } from "./screen.ts";
import { Interrupted, watchSignals } from "./signals.ts";
import { letGoOfTerminal, passStdin } from "./stdin.ts";
import { makeTerminalRaw, readTerminalSize, watchTerminalSize } from "./terminal.ts";

/** A signal for us and for a child may be heard of in either order. */
const LATE_SIGNAL_MS = 1000;

/** How an exec is conducted. */
export interface ConductOptions {
  /** Connects, with these handlers. Their signal aborts when the user gives up. */
  open: (
    handlers: Required<Omit<ExecHandlers, "signal" | "onBroken">> & { signal: AbortSignal },
  ) => Promise<ExecConnection>;
  /** Before we give up; default: nothing. */
  onGiveUp?: () => Promise<void>;
  onStatus?: (message: StatusMessage) => void;
  /** Keys that leave the exec running. */
  detachKeys?: DetachKeys | undefined;
  /** The exec outlives us: only SIGINT is passed on, other signals end us alone. */
  outlives?: boolean;
  /** We only watch. */
  watch?: boolean;
}

/**
 * Conducts an exec at our terminal: stdin, signals and sizes in, until it ends. The terminal is put back whatever happens.
 * @returns undefined when the user left with the detach keys.
 * @throws Interrupted when the user gave up.
 */
export async function conductExec(flags: ExecFlags, options: ConductOptions): Promise<ExecInfo | undefined> {
  const raw = flags.tty === true && flags.interactive === true && process.stdin.isTTY === true;
  const { detachKeys } = options;
  const leaves = detachKeys !== undefined && detachKeys.bytes.length > 0 && process.stdin.isTTY === true;
  const abort = new AbortController();
  const left = Promise.withResolvers<undefined>();
  const givenUp = Promise.withResolvers<void>();
  let connection: ExecConnection | undefined;
  let gaveUp: Interrupted | undefined;
  const giveUp = (signal: string): void => {
    const leave = (): void => {
      abort.abort(gaveUp);
      givenUp.resolve();
    };
    const again = gaveUp !== undefined;
    gaveUp ??= new Interrupted(signal);
    if (again || options.onGiveUp === undefined) leave();
    else options.onGiveUp().then(leave, leave);
  };
  using signals = watchSignals({
    canForward: () => connection?.started === true && !connection.watching,
    forward: (signal) =>
      options.outlives === true && signal !== "SIGINT" ? giveUp(signal) : connection?.sendSignal(signal),
    giveUp,
  });
  using screen = new Screen({
    raw,
    // A terminal that is not raw passes on whole lines.
    entry: leaves ? `${detachKeys.label} ${raw ? "leaves, twice sends it" : "and Enter leave"}` : undefined,
    wantsToWrite: options.watch !== true,
  });
  const onStatus = (message: StatusMessage): void => {
    screen.hear(message);
    // the terminal may have another size than the one before it
    if (message.type === "attached" && message.writer && flags.tty === true)
      connection?.resize(readTerminalSize());
    options.onStatus?.(message);
  };
  const { stdout, stderr } = screen;
  const opened = await options
    .open({ stdout, stderr, onStatus, signal: abort.signal })
    .catch(async (error: unknown) => {
      // Ctrl-C may end the ssh that connects as well, before it has a session of its own, and be heard of here a moment later.
      if (gaveUp === undefined && systemCode(error) === "EINTR")
        await Promise.race([givenUp.promise, elapse(LATE_SIGNAL_MS)]);
      if (gaveUp === undefined) throw error;
      await givenUp.promise;
      throw gaveUp;
    });
  connection = opened;
  // After the terminal was put back, for which it has to be open.
  using stdin = flags.interactive === true ? letGoOfTerminal() : undefined;
  using terminal = raw ? makeTerminalRaw() : undefined;
  using sizes = flags.tty === true ? watchTerminalSize((size) => opened.resize(size)) : undefined;
  if (flags.tty === true && !opened.watching) opened.resize(readTerminalSize());
  if (flags.interactive === true) {
    const keys = leaves
      ? new DetachReader(detachKeys.bytes, {
          leave: () => left.resolve(undefined),
          send: (bytes) => void opened.writeStdin(bytes).catch(() => {}),
        })
      : undefined;
    passStdin(opened, keys).catch(() => opened.endStdin());
  }
  try {
    const ended = await Promise.race([opened.result, left.promise]);
    // the command's end is then of our own doing
    if (gaveUp !== undefined) throw gaveUp;
    return ended;
  } finally {
    opened.close();
    void [signals, stdin, terminal, sizes];
  }
}
