/** Asks the host's apt how it reaches Debian, and what Debian's mirror has. */
import { access, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EngineError } from "../errors.ts";
import {
  type AptSettings,
  aptSettings,
  type Source,
  sourceLine,
  sourcesFor,
  TARGETS_FORMAT,
} from "./apt-settings.ts";
import { runStep } from "./run.ts";
import { KNOWN_SUITES } from "./suites.ts";

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const APT_TIMEOUT_MS = 30_000;

interface SuiteApt extends AptSettings {
  /** One-line sources. */
  sources: string[];
  /** Whether the host's own apt has the suite, lists included. */
  ofHost: boolean;
}

/** Settings and sources for images of `suite`. Throws `invalid-template`, with the suites that there are, where the mirror does not have it. */
export async function hostApt(suite: string, signal?: AbortSignal): Promise<SuiteApt> {
  const ask = (command: readonly [string, ...string[]]): Promise<string> =>
    runStep(command, { timeoutMs: APT_TIMEOUT_MS, signal, debianPackage: "apt" }).catch((error: unknown) => {
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
  const { sources, ofHost } = sourcesFor(suite, targets);
  const there = ofHost ? sources : await ofMirror(suite, sources, signal);
  return { ...settings, sources: there.map((source) => sourceLine(source, keyring)), ofHost };
}

/** Sources to fetch a package of `suite` from; null: the host's own apt has it. */
export async function packageSources(suite: string, signal?: AbortSignal): Promise<string[] | null> {
  const { sources, ofHost } = await hostApt(suite, signal);
  return ofHost ? null : sources;
}

/** Those of `sources` that their mirrors have: sid, for one, has no updates of its own. */
async function ofMirror(
  suite: string,
  sources: readonly Source[],
  signal: AbortSignal | undefined,
): Promise<Source[]> {
  const there = await served(sources, signal);
  if (there.some((source) => source.suite === suite)) return there;
  const uri = sources.find((source) => source.suite === suite)?.uri ?? "";
  const known = KNOWN_SUITES.map((name) => ({ uri, suite: name, components: [] }));
  const names = (await served(known, signal)).map((source) => source.suite);
  throw new EngineError("invalid-template", `${uri} has no Debian suite "${suite}"`, {
    hint: `it has ${names.join(", ")}`,
  });
}

/** A mirror that can't be asked counts as one that has it: what is fetched from it then tells why it can't be reached. */
async function served(sources: readonly Source[], signal: AbortSignal | undefined): Promise<Source[]> {
  const scratch = await mkdtemp(join(tmpdir(), "thaw-apt-"));
  try {
    const answers = await Promise.all(
      sources.map(async ({ uri, suite }, index) => {
        const address = `${uri.replace(/\/$/, "")}/dists/${suite}/InRelease`;
        try {
          await runStep(["/usr/lib/apt/apt-helper", "download-file", address, join(scratch, `${index}`)], {
            timeoutMs: APT_TIMEOUT_MS,
            signal,
            debianPackage: "apt",
          });
        } catch (error) {
          if (!(error instanceof EngineError)) throw error;
          return !(error.details ?? []).some((line) => /\b404\b|File not found/.test(line));
        }
        return true;
      }),
    );
    return sources.filter((_, index) => answers[index]);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
