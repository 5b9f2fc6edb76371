/** How a step's script is run in the guest. */

const SHELLS: Readonly<Record<string, string>> = {
  bash: 'exec bash -eo pipefail -c "$0"',
  sh: 'exec sh -e -c "$0"',
  python: 'command -v python3 >/dev/null && exec python3 -c "$0"; exec python -c "$0"',
};
const DEFAULT = `command -v bash >/dev/null && ${SHELLS.bash}; ${SHELLS.sh}`;

/** @throws RangeError */
export function checkShell(shell: string): string {
  if (Object.hasOwn(SHELLS, shell) || shell.includes("{0}")) return shell;
  throw new RangeError(
    `${JSON.stringify(shell)} is not ${Object.keys(SHELLS).join(", ")}, or a command with {0} for the script's file`,
  );
}

/**
 * The command that runs `script`.
 * @param options shell: as `checkShell` takes it. output: the file in the guest that takes the script's outputs
 */
export function commandFor(
  script: string,
  { shell, output }: { shell?: string | undefined; output?: string | undefined },
): string[] {
  const make = output === undefined ? "" : ': >>"$GITHUB_OUTPUT"; ';
  return ["sh", "-c", make + runnerOf(shell), script];
}

function runnerOf(shell: string | undefined): string {
  if (shell === undefined) return DEFAULT;
  const known = Object.hasOwn(SHELLS, shell) ? SHELLS[shell] : undefined;
  if (known !== undefined) return known;
  const command = shell.replaceAll("{0}", '"$file"');
  return `file=$(mktemp) && printf %s "$0" >"$file" && exec ${command}`;
}

const MAX_TITLE_CHARS = 60;

/** What a step is called: the first line of its script that does something. */
export function titleOf(script: string): string {
  const lines = script.split("\n").map((line) => line.trim());
  const title = lines.find((line) => line !== "" && !line.startsWith("#") && !/^set\s+[-+]/.test(line)) ?? "";
  return title.length <= MAX_TITLE_CHARS ? title : `${title.slice(0, MAX_TITLE_CHARS - 1)}…`;
}
