/** The packages that apt's index has, as lines. Pure. */
import { compareVersions } from "./versions.ts";

/**
 * A command for sh that prints a line `NAME VERSION` for each package that apt would install.
 * @param options of apt-cache, as sh has them
 */
export function printAvailable(options = "-q"): string {
  return `apt-cache ${options} dumpavail | awk '/^Package: /{name=$2} /^Version: /{print name, $2}'`;
}

/** Lines `NAME VERSION`; of several versions, the newest. */
export function parseAvailable(lines: string): Map<string, string> {
  const versions = new Map<string, string>();
  for (const line of lines.split("\n")) {
    const [, name, version] = /^([a-z0-9][a-z0-9+.-]*) ([0-9][0-9A-Za-z.+~:-]*)$/.exec(line) ?? [];
    if (name === undefined || version === undefined) continue;
    const known = versions.get(name);
    if (known === undefined || compareVersions(known, version) < 0) versions.set(name, version);
  }
  return versions;
}
