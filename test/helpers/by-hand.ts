/** How a program of the tests that people start begins and ends. */

/** What the arguments say. A mistake in them ends the process with 2, and the usage. */
export function optionsOrExit<T>(parse: () => T, usage: string): T {
  try {
    return parse();
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${usage}\n`);
    process.exit(2);
  }
}

/** Aborted by Ctrl-C, or SIGTERM: what was begun is cleaned up then. */
export function abortedBySignals(): AbortSignal {
  const interrupted = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const)
    process.once(name, () => interrupted.abort(new Error(`interrupted by ${name}`)));
  return interrupted.signal;
}
