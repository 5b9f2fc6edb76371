/** How old the packages of what was built are, by the last known index of their suite. Nothing here asks anybody. */
import { type InstalledPackage, type Packages, readPackages } from "./installed.ts";
import { type SuiteIndex, type SuiteIndexes, suiteOfSystem } from "./suite-index.ts";
import { compareVersions } from "./versions.ts";

export interface PackageSummary {
  manager: Packages["manager"];
  system: string;
  count: number;
  /** null: the host has no index of this system. */
  outdated: number | null;
  /** When the host last fetched that index. */
  indexAt: string | null;
}

/** A package, and its newer version in the index; null: the index has no newer one. */
export type JudgedPackage = readonly [...InstalledPackage, newer: string | null];

export interface JudgedPackages {
  summary: PackageSummary;
  packages: JudgedPackage[];
}

/** Each package with its newer version. A package that the index does not have, or has for another processor, is not known to be outdated. Pure. */
export function judge({ manager, system, packages }: Packages, index: SuiteIndex | null): JudgedPackages {
  const judged = packages.map(([name, version, architecture]): JudgedPackage => {
    const isHost = architecture === "amd64" || architecture === "all";
    const current = isHost ? index?.versions.get(name) : undefined;
    const isOlder = current !== undefined && compareVersions(version, current) < 0;
    return [name, version, architecture, isOlder ? current : null];
  });
  const summary = {
    ...{ manager, system, count: packages.length },
    outdated: index === null ? null : judged.filter(([, , , newer]) => newer !== null).length,
    indexAt: index?.fetchedAt ?? null,
  };
  return { summary, packages: judged };
}

interface Known {
  suite: string | null;
  indexVersion: number;
  summary: PackageSummary | null;
}
/** More folders than this are not remembered. */
const MAX_KNOWN = 1000;

/** Packages of what was built, judged by a host's indexes. */
export class PackageJudge {
  readonly #indexes: SuiteIndexes;
  /** By folder: what is in it never changes. */
  readonly #known = new Map<string, Known>();
  /** Indexes have tens of thousands of lines: one that is being read is read once for all who ask. */
  readonly #reading = new Map<string, Promise<SuiteIndex | null>>();

  constructor(indexes: SuiteIndexes) {
    this.#indexes = indexes;
  }

  /** null: nothing was noted of what is in this folder. */
  async judge(dir: string): Promise<JudgedPackages | null> {
    const packages = await readPackages(dir);
    return packages && judge(packages, await this.#index(suiteOf(packages)));
  }

  /** As `judge`, and remembered until the index changes: for lists. */
  async summary(dir: string): Promise<PackageSummary | null> {
    const known = this.#known.get(dir);
    if (known !== undefined && known.indexVersion === (await this.#version(known.suite)))
      return known.summary;
    const packages = await readPackages(dir);
    const suite = packages && suiteOf(packages);
    const indexVersion = await this.#version(suite);
    const summary = packages && judge(packages, await this.#index(suite)).summary;
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(dir, { suite, indexVersion, summary });
    return summary;
  }

  async #version(suite: string | null): Promise<number> {
    return suite === null ? 0 : this.#indexes.version(suite);
  }

  #index(suite: string | null): Promise<SuiteIndex | null> {
    if (suite === null) return Promise.resolve(null);
    const reading =
      this.#reading.get(suite) ?? this.#indexes.read(suite).finally(() => this.#reading.delete(suite));
    this.#reading.set(suite, reading);
    return reading;
  }
}

function suiteOf({ manager, system }: Packages): string | null {
  return manager === "dpkg" ? suiteOfSystem(system) : null;
}
