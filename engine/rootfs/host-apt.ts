/** Asks the host's apt how it reaches Debian. */
import { access } from "node:fs/promises";
import { EngineError } from "../errors.ts";
import {
  type AptSettings,
  aptSettings,
  debianSources,
  type SuiteSources,
  sourcesFor,
  TARGETS_FORMAT,
} from "./apt-settings.ts";
import { runStep } from "./run.ts";

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** Settings and sources for images of `suite`. On a host without apt's lists, Debian's own mirrors are used. */
export async function hostApt(
  suite: string,
  signal?: AbortSignal,
): Promise<AptSettings & { sources: SuiteSources; keyring: string | undefined }> {
  const step = { timeoutMs: 30_000, signal, debianPackage: "apt" };
  const ask = (command: readonly [string, ...string[]]): Promise<string> =>
    runStep(command, step).catch((error: unknown) => {
      if (error instanceof EngineError) return "";
      throw error;
    });
  const targets = await ask([
    "apt-get",
    "indextargets",
    "--format",
    TARGETS_FORMAT,
    "Created-By: Packages",
    "Origin: Debian",
  ]);
  const settings = aptSettings(await ask(["apt-config", "dump"]));
  const keyring = await access(KEYRING).then(
    () => KEYRING,
    () => undefined,
  );
  return { ...settings, sources: sourcesFor(suite, targets, keyring), keyring };
}

/** Sources to fetch a package of `suite` from; null: the host's own apt has it. */
export async function packageSources(suite: string, signal?: AbortSignal): Promise<string[] | null> {
  const { sources, keyring } = await hostApt(suite, signal);
  if (sources.ofHost) return null;
  return sources.lines.length > 0 ? sources.lines : debianSources(suite, keyring);
}
