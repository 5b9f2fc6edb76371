import { ThawError } from "../../client/errors.ts";
import type { Exec, ExecConnection, ExecHandlers } from "../../client/index.ts";
import { writeFully } from "./fd-writer.ts";
import type { ExecFlags } from "./flags.ts";
import { signalExitCode, watchSignals } from "./signals.ts";
import { passStdin } from "./stdin.ts";
import { makeTerminalRaw, watchTerminalSize } from "./terminal.ts";

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

/** Handlers that pass output on unaltered to our own stdout and stderr. */
export const passOutput: Required<Pick<ExecHandlers, "stdout" | "stderr">> = {
  stdout: (chunk) => writeFully(1, chunk),
  stderr: (chunk) => writeFully(2, chunk),
};

/**
 * Conducts an exec at our terminal: stdin, signals and sizes in, until it ends. `open` gets a signal that aborts when the user gives up.
 * @throws Interrupted when the user gave up.
 */
export async function conductExec(
  flags: ExecFlags,
  options: { open: (signal: AbortSignal) => Promise<ExecConnection>; onGiveUp?: () => Promise<void> },
): Promise<Exec> {
  const abort = new AbortController();
  let connection: ExecConnection | undefined;
  using signals = watchSignals({
    canForward: () => connection?.started === true,
    forward: (signal) => connection?.sendSignal(signal),
    giveUp: (signal) => {
      const leave = (): void => abort.abort(new Interrupted(signal));
      if (connection === undefined || options.onGiveUp === undefined) leave();
      else options.onGiveUp().then(leave, leave);
    },
  });
  connection = await options.open(abort.signal);
  const opened = connection;
  using terminal = flags.tty === true && flags.interactive === true ? makeTerminalRaw() : undefined;
  using sizes = flags.tty === true ? watchTerminalSize((size) => opened.resize(size)) : undefined;
  if (flags.interactive === true) passStdin(connection).catch(() => connection?.endStdin());
  const exec = await connection.result;
  void [signals, terminal, sizes];
  return exec;
}
