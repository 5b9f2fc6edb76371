/** The Debian 13 that `npm run test:hosts` made, with a built checkout at /thaw. */
import { execa, type Options } from "execa";
import { describe } from "vitest";

/** Why there is none; undefined when there is one. */
export const missing =
  process.env.THAW_HOSTS_MISSING ??
  (process.env.THAW_HOSTS_ROOT === undefined ? "npm run test:hosts makes it" : undefined);

/** Path, on this host, of a file of that host. */
export function pathThere(path: string): string {
  return `${process.env.THAW_HOSTS_ROOT}${path}`;
}

/** Skipped, with the reason in its name, where there is no Debian 13. */
export function describeThere(name: string, tests: () => void): void {
  describe.skipIf(missing !== undefined)(missing === undefined ? name : `${name} (${missing})`, tests);
}

/** Runs a script of bash there, with `thaw` on its PATH. What it starts ends with it, the daemon too. Never rejects on an exit code. */
export function there(script: string, options: Options = {}) {
  const argv = [
    "test/hosts/enter.sh",
    process.env.THAW_HOSTS_ROOT ?? "",
    "bash",
    "-uc",
    `${PROLOGUE}${script}`,
  ];
  return execa("bash", argv, { reject: false, timeout: 580_000, ...options });
}

/** stdout of a script that must succeed. */
export async function succeeds(script: string): Promise<string> {
  const { stdout, stderr, exitCode } = await there(`set -e -o pipefail\n${script}`);
  if (exitCode !== 0) throw new Error(`exit ${exitCode} of ${script}\n${stdout}\n${stderr}`);
  return String(stdout);
}

const PROLOGUE = 'thaw() { node /thaw/dist/thaw.mjs "$@"; }\nexport NO_COLOR=1\n';
