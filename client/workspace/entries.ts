import type { PackEntry } from "../tree/pack.ts";
import type { SourceFolder } from "../tree/source-folder.ts";
import { joinPath } from "../tree/walk.ts";

/** Entries of a tree being gathered: each path once, folders before what is in them. */
export class Entries {
  readonly #byPath = new Map<string, PackEntry>();

  /** Adds an entry, in place of an earlier one at the same path. */
  set(entry: PackEntry): void {
    this.#byPath.set(entry.path.toString("latin1"), entry);
  }

  /** Adds what lies at `path` of the folder as itself. */
  add(folder: SourceFolder, path: Buffer): void {
    this.set({ folder, source: path, path });
  }

  list(): PackEntry[] {
    return [...this.#byPath.values()];
  }
}

/** Joins a path and a name of latin1 text. */
export function beneath(folder: Buffer, name: string): Buffer {
  return joinPath(folder, Buffer.from(name, "latin1"));
}
