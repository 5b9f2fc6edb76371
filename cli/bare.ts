/** `thaw` without a verb: on a terminal it opens the dashboard. */

/** Whether no verb is given, and nothing else is asked for: at most the context is named. */
export function isBare(argv: readonly string[]): boolean {
  return (
    argv.length === 0 ||
    (argv.length === 2 && argv[0] === "--context") ||
    (argv.length === 1 && argv[0]?.startsWith("--context=") === true)
  );
}
