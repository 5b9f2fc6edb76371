import type { Dirent } from "node:fs";
import { ThawError } from "../errors.ts";
import type { SourceFolder } from "../tree/source-folder.ts";
import { joinPath, listFolder } from "../tree/walk.ts";
import type { Breather } from "./breather.ts";
import type { Entries } from "./entries.ts";
import {
  bareLayer,
  enterFolder,
  isIgnored,
  isTracked,
  isTrackedBeneath,
  type Layer,
  makeLayer,
} from "./layer.ts";
import { type Repository, readRepository, refuse, Unusable } from "./repository.ts";

const MAX_ATTRIBUTES_BYTES = 1 << 20;
const MAX_COUNTED = 1_000_000;

/** What was chosen, beside the entries. */
export interface Selection {
  notes: string[];
  /** Repositories below the top. */
  nested: Repository[];
  /** What git ignores: files, and folders with all that is in them. */
  leftOut: { path: Buffer; directory: boolean }[];
  /** Names of the filters that `.gitattributes` files name. */
  filters: Set<string>;
}

interface Frame {
  path: Buffer;
  layers: Layer[];
}

/** Walks the workspace: real folders only, so that no index and no link leads out of it. Rules and indexes only say what is left out. */
export class Selector {
  readonly #folder: SourceFolder;
  readonly #entries: Entries;
  readonly #ignore: boolean;
  readonly #breather: Breather;
  readonly selection: Selection = { notes: [], nested: [], leftOut: [], filters: new Set() };

  constructor(options: { folder: SourceFolder; entries: Entries; ignore: boolean; breather: Breather }) {
    this.#folder = options.folder;
    this.#entries = options.entries;
    this.#ignore = options.ignore;
    this.#breather = options.breather;
  }

  /** @param layer what the repository of the top, or around it, says. */
  async run(layer: Layer): Promise<Selection> {
    const frames: Frame[] = [{ path: Buffer.alloc(0), layers: [layer] }];
    for (let frame = frames.pop(); frame !== undefined; frame = frames.pop()) {
      const listing = listFolder(this.#folder, frame.path);
      if (typeof listing !== "string") frames.push(...(await this.#applyFolder(frame, listing)).reverse());
      else if (frame.path.length === 0) throw new ThawError("usage", `${this.#folder.path}: ${listing}`);
      else
        this.#entries.set({
          folder: this.#folder,
          source: frame.path,
          path: frame.path,
          unreadable: listing,
        });
    }
    return this.selection;
  }

  async #applyFolder({ path, layers: outer }: Frame, listing: Dirent<Buffer>[]): Promise<Frame[]> {
    const nested = path.length > 0 && listing.some(({ name }) => name.toString("latin1") === ".git");
    const layers = (nested ? this.#enterRepository(path, outer) : outer).map((layer) =>
      this.#ignore
        ? enterFolder(layer, { folder: this.#folder, path, onNote: (note) => this.#note(note) })
        : layer,
    );
    const below: Frame[] = [];
    for (const entry of listing) {
      await this.#breather.breathe();
      const name = entry.name.toString("latin1");
      if (name === ".git") continue;
      const full = joinPath(path, entry.name);
      if (entry.isDirectory()) {
        const frame = this.#chooseFolder(full, layers);
        if (frame !== undefined) below.push(frame);
      } else if (this.#isLeftOut(full, layers, false))
        this.selection.leftOut.push({ path: full, directory: false });
      else {
        this.#entries.add(this.#folder, full);
        if (name === ".gitattributes") this.#readFilters(full);
      }
    }
    return below;
  }

  #note(note: string): void {
    if (!this.selection.notes.includes(note)) this.selection.notes.push(note);
  }

  #isLeftOut(path: Buffer, layers: readonly Layer[], directory: boolean): boolean {
    if (!this.#ignore || layers.some((layer) => isTracked(layer, path, directory))) return false;
    return this.#isRuledOut(path, layers, directory);
  }

  #isRuledOut(path: Buffer, layers: readonly Layer[], directory: boolean): boolean {
    return this.#ignore && layers.some((layer) => isIgnored(layer, path, directory));
  }

  /** Adds a folder unless it is left out. @returns what is to be walked. */
  #chooseFolder(path: Buffer, layers: readonly Layer[]): Frame | undefined {
    const leftOut = this.#isLeftOut(path, layers, true);
    if (leftOut && !layers.some((layer) => isTrackedBeneath(layer, path))) {
      this.selection.leftOut.push({ path, directory: true });
      return undefined;
    }
    this.#entries.add(this.#folder, path);
    const trackedOnly = this.#isRuledOut(path, layers, true);
    const below = layers.map((layer) => ({ ...layer, trackedOnly: layer.trackedOnly || trackedOnly }));
    return { path, layers: below };
  }

  /** The layers in a folder that has a `.git`: those of that repository, and the outer one's when it tracks files there, too. */
  #enterRepository(path: Buffer, outer: Layer[]): Layer[] {
    const repository = readRepository({ folder: this.#folder, path });
    if (repository === undefined) return outer;
    if (repository instanceof Unusable) {
      if (this.#ignore && repository.unreadable) refuse(repository);
      this.#note(`not sent: ${this.#folder.show(path)}/.git: ${repository.message}`);
      return outer;
    }
    this.selection.nested.push(repository);
    const own = this.#ignore ? makeLayer(repository, { strip: path.length + 1, prefix: "" }) : bareLayer;
    return [...outer.filter((layer) => isTrackedBeneath(layer, path)), own];
  }

  /** Notes the filters of a `.gitattributes`; one that can't be read names none. */
  #readFilters(path: Buffer): void {
    let text = "";
    try {
      text = this.#folder.read(path, MAX_ATTRIBUTES_BYTES)?.toString("utf8") ?? "";
    } catch (error) {
      if (!(error instanceof ThawError)) throw error;
    }
    for (const name of findFilters(text)) this.selection.filters.add(name);
  }
}

/** Names of the filters in a text of attributes. */
export function findFilters(text: string): string[] {
  const lines = text.split("\n").filter((line) => !/^\s*#/.test(line));
  return lines.flatMap((line) => [...line.matchAll(/\sfilter=(\S+)/g)].map(([, name]) => name ?? ""));
}

/** Counts the files of what was left out, up to a million. */
export async function countFiles(
  folder: SourceFolder,
  leftOut: Selection["leftOut"],
  breather: Breather,
): Promise<number> {
  let count = 0;
  const pending = leftOut.filter(({ directory }) => directory).map(({ path }) => path);
  count += leftOut.length - pending.length;
  for (let path = pending.pop(); path !== undefined && count < MAX_COUNTED; path = pending.pop()) {
    const listing = listFolder(folder, path);
    if (typeof listing === "string") continue;
    for (const entry of listing) {
      if (entry.isDirectory()) pending.push(joinPath(path, entry.name));
      else count++;
    }
    await breather.breathe();
  }
  return count;
}
