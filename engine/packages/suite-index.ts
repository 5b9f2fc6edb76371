/**
 * The newest versions that a Debian suite has, as this host last fetched its signed index: when a root file system is made, and when a
 * refresh is asked for. apt fetches the index and checks its signature.
 */
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { Gate } from "../concurrency.ts";
import { EngineError } from "../errors.ts";
import { namespacedArgv } from "../rootfs/argv.ts";
import { hostApt } from "../rootfs/host-apt.ts";
import { runStep } from "../rootfs/run.ts";
import { SUITE_PATTERN } from "../rootfs/suites.ts";
import { readRecord, recordKind, valueOrNull, writeRecord } from "../state/record.ts";
import { parseAvailable, printAvailable } from "./available.ts";

const UPDATE_TIMEOUT_MS = 5 * 60_000;
const MAX_AVAILABLE_BYTES = 32 << 20;

const indexKind = recordKind(
  "index of packages",
  z.object({ fetchedAt: z.iso.datetime(), versions: z.record(z.string(), z.string()) }),
);

/** apt locks its folder: of two fetches, the second would fail. */
const fetches = new Gate(1);

export interface SuiteIndex {
  fetchedAt: string;
  /** By the package's name. */
  versions: ReadonlyMap<string, string>;
}

/** The suite whose index tells of a system's packages; null: this host knows no index for it. */
export function suiteOfSystem(system: string): string | null {
  const [id, suite = ""] = system.split(" ");
  return id === "debian" && SUITE_PATTERN.test(suite) ? suite : null;
}

export class SuiteIndexes {
  readonly #dir: string;

  /** @param dir folder of the indexes */
  constructor(dir: string) {
    this.#dir = dir;
  }

  /** null: the index was never fetched. */
  async read(suite: string): Promise<SuiteIndex | null> {
    const index = valueOrNull(await readRecord(this.#file(suite), indexKind));
    return index && { fetchedAt: index.fetchedAt, versions: new Map(Object.entries(index.versions)) };
  }

  /** Changes when the index of the suite does; 0: there is none. */
  async version(suite: string): Promise<number> {
    return (await stat(this.#file(suite)).catch(() => null))?.mtimeMs ?? 0;
  }

  /** Keeps an index that was fetched just now. @param path of the lines of {@link printAvailable} */
  async keep(suite: string, path: string): Promise<void> {
    const versions = parseAvailable(await readLines(path));
    if (versions.size === 0)
      throw new EngineError("build-failed", `the index of Debian ${suite} has no packages`);
    const index = { fetchedAt: new Date().toISOString(), versions: Object.fromEntries(versions) };
    await writeRecord(this.#file(suite), indexKind, index, { survives: "daemon" });
  }

  /**
   * Has apt fetch the index, or find that it is unchanged. Rejects with `host-not-ready` without apt, `build-failed` when a part can't be
   * fetched or its signature is not right, `timeout`, or the signal's reason; the index from before is kept then.
   */
  async refresh(suite: string, signal: AbortSignal): Promise<void> {
    const { sources } = await hostApt(suite, signal);
    await this.fetch(suite, { sources, signal });
  }

  /** @param sources one-line sources of apt */
  fetch(suite: string, how: { sources: readonly string[]; signal: AbortSignal }): Promise<void> {
    return fetches.run(() => this.#fetch(suite, how));
  }

  async #fetch(
    suite: string,
    { sources, signal }: { sources: readonly string[]; signal: AbortSignal },
  ): Promise<void> {
    const dir = join(this.#dir, `apt-${suite}`);
    await mkdir(join(dir, "lists/partial"), { recursive: true });
    await mkdir(join(dir, "archives/partial"), { recursive: true });
    await writeFile(join(dir, "status"), "");
    await writeFile(join(dir, "sources.list"), sources.map((line) => `${line}\n`).join(""));
    const available = join(dir, "available");
    const script = `out=$1; shift; apt-get "$@" update >&2 && ${printAvailable('"$@"')} >"$out"`;
    try {
      const command = ["sh", "-c", script, "sh", available, ...aptOptions(dir)];
      const step = { timeoutMs: UPDATE_TIMEOUT_MS, signal, debianPackage: "apt" };
      await runStep(namespacedArgv(process.getuid?.() === 0, command), step);
      await this.keep(suite, available);
    } catch (error) {
      if (!(error instanceof EngineError) || error.code !== "build-failed") throw error;
      const { details, hint } = error;
      const message = `the index of Debian ${suite} could not be fetched`;
      throw new EngineError("build-failed", message, { details, hint, cause: error });
    } finally {
      await rm(available, { force: true });
    }
  }

  #file(suite: string): string {
    return join(this.#dir, `${suite}.json`);
  }
}

/** Settings beside the host's own: lists of this suite only, kept compressed so that the next fetch is short. */
function aptOptions(dir: string): string[] {
  return [
    `Dir::Etc::SourceList=${dir}/sources.list`,
    "Dir::Etc::SourceParts=/dev/null",
    `Dir::State=${dir}`,
    `Dir::State::status=${dir}/status`,
    `Dir::Cache=${dir}`,
    ...["Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache="],
    "APT::Sandbox::User=root",
    "APT::Update::Error-Mode=any",
    "Acquire::Languages=none",
    "Acquire::GzipIndexes=true",
    "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
  ].flatMap((option) => ["-o", option]);
}

async function readLines(path: string): Promise<string> {
  const { size } = await stat(path);
  if (size > MAX_AVAILABLE_BYTES)
    throw new EngineError("build-failed", `${path} has more than ${MAX_AVAILABLE_BYTES} bytes`);
  return readFile(path, "utf8");
}
