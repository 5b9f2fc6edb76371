import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Which build this is; `version.json` beside the bundle holds it. */
export interface BuildVersion {
  version: string;
  /** Digest of the bundle's files. */
  digest: string;
  /** When it was built, in ms since 1970; 0 when run from source. */
  built: number;
  /** The commit that it was built from, where git told it. */
  commit?: string;
  /** Whether that commit has the version's tag. */
  isRelease?: boolean;
}

const fromSource: BuildVersion = { version: "0.0.0", digest: "", built: 0 };

/** The build in a folder; undefined when there is none. */
export function readVersion(folder: string): BuildVersion | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, "version.json"), "utf8")) as BuildVersion;
  } catch {
    return undefined;
  }
}

/** The build this code belongs to: zeros when it runs from source. */
export function findOwnVersion(): BuildVersion {
  const here = import.meta.dirname;
  return readVersion(here) ?? readVersion(join(here, "..")) ?? fromSource;
}

/** A folder with a whole build, to install the daemon from. */
export interface BuildFolder extends BuildVersion {
  folder: string;
}

/** The build folder this code runs from, or, from source, the checkout's `dist`; undefined when nothing was built. */
export function findBuildFolder(): BuildFolder | undefined {
  const here = import.meta.dirname;
  for (const folder of [here, join(here, ".."), join(here, "..", "dist")]) {
    const version = readVersion(folder);
    if (version !== undefined && existsSync(join(folder, "daemon.mjs"))) return { ...version, folder };
  }
  return undefined;
}
