/** Which runsc this host has and what it offers. */
import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { findTool } from "../host/find-tool.ts";
import { runTool } from "../host/tool.ts";
import { RunnerError } from "../runner.ts";

/** The oldest release that was tested: older ones have no systrap platform, or can't boot from an image file. */
const OLDEST_RELEASE = 20240729;
export const INSTALL_HINT = "apt-get install runsc (Debian 12: from bookworm-backports)";
/** It needs no hardware and no rights on the host's processes, unlike `kvm` and `ptrace`. */
export const PLATFORM = "systrap";

export interface RunscFacts {
  path: string;
  /** e.g. `runsc 20240729.0` */
  build: string;
}

/** What `runsc --version` prints, as a release. Throws `unsupported` when it is too old, or not runsc's. */
export function parseRelease(path: string, text: string): string {
  const release = /^runsc version \S*?(\d{8}(?:\.\d+)?)\s*$/m.exec(text)?.[1];
  if (release === undefined)
    throw new RunnerError("unsupported", `${path} is not gVisor's runsc: it told no release`, {
      hint: INSTALL_HINT,
    });
  if (Number.parseInt(release, 10) < OLDEST_RELEASE)
    throw new RunnerError(
      "unsupported",
      `${path} is runsc ${release}, which is too old: ${OLDEST_RELEASE} is the oldest that works`,
      { hint: INSTALL_HINT },
    );
  return `runsc ${release}`;
}

/** Finds runsc once for each binary: an upgrade replaces the file. A failure is not kept. */
export function runscFinder(): () => Promise<RunscFacts> {
  let known: { key: string; facts: Promise<RunscFacts> } | undefined;
  return async () => {
    const path = findTool("runsc");
    if (path === undefined)
      throw new RunnerError("missing-tool", "runsc is not installed", { hint: INSTALL_HINT });
    const { ino, size, mtimeMs } = await stat(path);
    const key = `${path} ${ino} ${size} ${mtimeMs}`;
    if (known?.key !== key) {
      const asked = { key, facts: askRunsc(path) };
      known = asked;
      asked.facts.catch(() => {
        if (known === asked) known = undefined;
      });
    }
    return known.facts;
  };
}

async function askRunsc(path: string): Promise<RunscFacts> {
  const text = await runTool(path, ["--version"], { timeoutMs: 10_000, debianPackage: "runsc" });
  return { path, build: parseRelease(path, text) };
}

/** Names the features of the host's CPU: a checkpoint goes on only where all of them are. */
export async function cpuFeatures(): Promise<string> {
  const flags = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(await readFile("/proc/cpuinfo", "utf8"))?.[1] ?? "";
  const sorted = flags.trim().split(/\s+/).sort().join(" ");
  return `features ${createHash("sha256").update(sorted).digest("hex").slice(0, 12)}`;
}
