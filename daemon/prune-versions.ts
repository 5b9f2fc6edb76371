/** Builds and Node runtimes that clients installed in `$THAW_HOME/versions` and nobody needs any more. */
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";

/** A client may be about to start a daemon from a folder that is as new as this. */
const KEEP_MS = 24 * 60 * 60 * 1000;

/**
 * Removes older builds than `own` (a folder's name in `versions`), other runtimes than the one of `node`, and what was left half made. Kept is
 * what is younger than `keepMs`, what a process was started from, and what one of `units` names. Never throws.
 */
export async function pruneVersions(options: {
  versions: string;
  own: string;
  node: string;
  /** Files of systemd units. */
  units: readonly string[];
  keepMs?: number;
}): Promise<void> {
  const { versions, own, node, units, keepMs = KEEP_MS } = options;
  const built = builtAt(join(versions, own));
  if (built === null) return;
  const isOld = (name: string): boolean => {
    const folder = join(versions, name);
    if (/^[0-9a-f]{16}$/.test(name)) return name !== own && (builtAt(folder) ?? 0) < built;
    return name.includes(".tmp-") || (name.startsWith("node-") && !node.startsWith(`${folder}/`));
  };
  const old = (await readdir(versions).catch(() => [])).filter(
    (name) => isOld(name) && ageMs(join(versions, name)) >= keepMs,
  );
  if (old.length === 0) return;
  const named = [...units.map(textOf), ...processTexts()].join("\n");
  for (const name of old) {
    const folder = join(versions, name);
    if (named.includes(`/${name}/`)) continue;
    const gone = name.includes(".tmp-") ? folder : `${folder}.tmp-gone`;
    try {
      // In one step: a build that is there is whole.
      if (gone !== folder) await rename(folder, gone);
      await rm(gone, { recursive: true, force: true });
    } catch {
      // The next daemon tries again.
    }
  }
}

/** When a build was made; null for a folder that has none. */
function builtAt(folder: string): number | null {
  try {
    const { built } = JSON.parse(readFileSync(join(folder, "version.json"), "utf8")) as { built?: unknown };
    return typeof built === "number" ? built : null;
  } catch {
    return null;
  }
}

/** Since it was put there. */
function ageMs(path: string): number {
  return Date.now() - (statSync(path, { throwIfNoEntry: false })?.ctimeMs ?? Date.now());
}

function textOf(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

/** The programs and command lines of all processes that may be looked at. */
function processTexts(): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readlinkSync(`/proc/${pid}/exe`), readFileSync(`/proc/${pid}/cmdline`, "utf8")];
      } catch {
        return [];
      }
    });
}
