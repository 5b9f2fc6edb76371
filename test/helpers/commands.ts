/** The commands that a test ran: a test that fails by an exit code tells what the command said. */

const KEPT = 4;
// In characters, each: an error and its hint.
const LONGEST = 600;
const commands: string[] = [];

export function noteCommand(args: readonly string[], end: number | string | undefined, stderr: string): void {
  commands.push(`thaw ${args.join(" ").slice(0, LONGEST)}: ${end}\n${stderr.slice(-LONGEST)}`.trimEnd());
  if (commands.length > KEPT) commands.shift();
}

/** Oldest first; forgets them. */
export function takeCommands(): string[] {
  return commands.splice(0);
}
