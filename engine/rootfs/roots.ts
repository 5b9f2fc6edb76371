/** The root file systems that are kept for builds, and which of them no build uses any more. */
import { readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Gate } from "../concurrency.ts";
import { randomId } from "../ids.ts";
import { completeEntries } from "../state/entries.ts";
import { imageNotes } from "./image/kept.ts";
import { generations } from "./make.ts";

export interface RootRemoval {
  /** Name of its folder. */
  id: string;
  bytes: number;
  reason: string;
}

export class Roots {
  readonly #dir: string;
  /** One removal at a time. */
  readonly #turn = new Gate(1);
  #builds = 0;

  /** @param dir the folder that has them */
  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Until this is disposed of, a build may use any of them. */
  use(): Disposable {
    this.#builds += 1;
    return {
      [Symbol.dispose]: () => {
        this.#builds -= 1;
      },
    };
  }

  /**
   * Removes those that no build uses from now on: one that was made anew since, or the image that no reference leads to any more. What was built
   * of them does not need them. Removes nothing while something is built. @returns what went, or with `dryRun` would go
   */
  prune(options: { dryRun: boolean }): Promise<RootRemoval[]> {
    return this.#turn.run(() => this.#prune(options));
  }

  async #prune({ dryRun }: { dryRun: boolean }): Promise<RootRemoval[]> {
    const removals: RootRemoval[] = [];
    for (const [id, reason] of await this.#superseded()) {
      const bytes = await bytesOf(join(this.#dir, id));
      if (this.#builds > 0) return removals;
      if (!dryRun) await this.#remove(id);
      removals.push({ id, bytes, reason });
    }
    return removals;
  }

  /** Names, and why they are not used. */
  async #superseded(): Promise<[string, string][]> {
    const names = await completeEntries(this.#dir);
    const all = generations(names);
    const newest = new Map(all.map(({ key, name }) => [key, name]));
    const renewed = all
      .filter(({ key, name }) => newest.get(key) !== name)
      .map(({ key, name }): [string, string] => [name, `was made anew as ${newest.get(key)}`]);
    const images = await imageNotes(this.#dir, names);
    const moved = images
      .filter(({ notes }) => notes.length > 0)
      .filter(({ digest, notes }) =>
        notes.every(({ file, at }) =>
          images.some(
            (other) => other.digest !== digest && other.notes.some((one) => one.file === file && one.at > at),
          ),
        ),
      )
      .map(({ name }): [string, string] => [name, "its image's tag leads to another image"]);
    return [...renewed, ...moved];
  }

  /** Hides it with one rename, then removes its files. */
  async #remove(id: string): Promise<void> {
    const grave = join(this.#dir, `.${randomId()}`);
    await rename(join(this.#dir, id), grave);
    await rm(grave, { recursive: true, force: true });
  }
}

/** Allocated bytes of the files in a folder. */
async function bytesOf(dir: string): Promise<number> {
  const files = await Promise.all((await readdir(dir)).map((name) => stat(join(dir, name))));
  return files.reduce((sum, { blocks }) => sum + blocks * 512, 0);
}
