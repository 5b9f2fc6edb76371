import type { PackEntry } from "../tree/pack.ts";
import { joinPath } from "../tree/walk.ts";

const slash = 0x2f;

/** Entries of a tree being gathered: each path once, its folders before it. */
export class Entries {
  readonly #root: Buffer;
  readonly #byPath = new Map<string, PackEntry>();

  constructor(root: string) {
    this.#root = Buffer.from(root);
  }

  /** The path on this host of something in the folder. */
  locate(path: Uint8Array): Buffer {
    return path.length === 0 ? this.#root : joinPath(this.#root, path);
  }

  /** Adds what is at `path` in the folder, and the folders above it. */
  addPath(path: Buffer): void {
    const key = path.toString("latin1");
    if (this.#byPath.has(key)) return;
    const parent = path.lastIndexOf(slash);
    if (parent > 0) this.addPath(path.subarray(0, parent));
    this.#byPath.set(key, { source: this.locate(path), path });
  }

  /** Adds an entry as it is, in place of an earlier one at the same path. */
  set(entry: PackEntry): void {
    const parent = entry.path.lastIndexOf(slash);
    if (parent > 0) this.addPath(entry.path.subarray(0, parent));
    this.#byPath.set(entry.path.toString("latin1"), entry);
  }

  list(): PackEntry[] {
    return [...this.#byPath.values()];
  }
}
