/**
 * The tree that an image's layers make, one upon the other. Nothing is written: entries are applied to a tree in memory, in which a link is
 * followed only within it. No name of a layer ever reaches the host's file system.
 */
import { invalidImage, shown, tooLarge } from "./invalid.ts";
import type { LayerEntry } from "./layer-reader.ts";

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";
/** aufs's own files, which are no whiteouts. */
const AUFS = ".wh..wh.";
const MAX_LINKS = 40;
const MAX_STEPS = 4096;
const MAX_DEPTH = 1024;
const MAX_NAME_BYTES = 255;
const MAX_PATH_BYTES = 4095;

export type Content = { layer: number; offset: number; size: number } | Buffer;

interface Metadata {
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  attributes: ReadonlyMap<string, Buffer>;
}
export interface Folder extends Metadata {
  kind: "directory";
  places: Map<string, Place>;
  /** The last layer in which everything beneath it that is of a lower one was hidden. */
  hiddenIn: number;
}
export type Leaf = Metadata &
  ({ kind: "file"; content: Content } | { kind: "symlink"; target: string } | { kind: "fifo" });
export type Inode = Folder | Leaf;

/** A name in a folder. Several may be of one inode. */
interface Place {
  inode: Inode;
  /** The layer that last named it. */
  layer: number;
}

const NO_ATTRIBUTES: ReadonlyMap<string, Buffer> = new Map();

export class LayerTree {
  readonly root: Folder = newFolder(0o755);
  /** Device nodes, which are left out: the machine has its own /dev. */
  devices = 0;
  #layer = -1;
  #made = 0;
  readonly #maxNames: number;

  /** @param maxNames names of all layers together, folders that are only parts of paths included */
  constructor(maxNames: number) {
    this.#maxNames = maxNames;
  }

  nextLayer(): void {
    this.#layer++;
  }

  /** @throws EngineError `build-failed` */
  add(entry: LayerEntry): void {
    this.#count();
    const parts = partsOf(entry.path);
    const name = parts.pop();
    if (name === undefined) {
      if (entry.kind === "directory") Object.assign(this.root, metadataOf(entry));
      return;
    }
    if (parts.some((part) => part.startsWith(AUFS))) return;
    if (name.startsWith(WHITEOUT)) return this.#whiteOut(parts, name);
    const target = entry.kind === "link" ? this.#linked(entry) : undefined;
    const parent = this.#folderAt(parts, entry.path);
    const present = parent.places.get(name);
    switch (entry.kind) {
      case "directory":
        if (present?.inode.kind === "directory") {
          Object.assign(present.inode, metadataOf(entry));
          present.layer = this.#layer;
        } else this.#put(parent, name, { ...newFolder(0), ...metadataOf(entry) });
        return;
      case "file": {
        const content = { layer: this.#layer, offset: entry.offset, size: entry.size };
        return this.#put(parent, name, { kind: "file", ...metadataOf(entry), content });
      }
      case "symlink":
        if (entry.target === "" || entry.target.length > MAX_PATH_BYTES)
          throw invalidImage(`the link ${shown(entry.path)} leads nowhere, or its target is too long`);
        return this.#put(parent, name, { kind: "symlink", ...metadataOf(entry), target: entry.target });
      case "link":
        if (target !== undefined) this.#put(parent, name, target);
        return;
      case "fifo":
        return this.#put(parent, name, { kind: "fifo", ...metadataOf(entry) });
      case "device":
        this.devices++;
        parent.places.delete(name);
    }
  }

  /** A folder that has to be there. Parts that are missing are made, and what is in the way is replaced. */
  needFolder(path: string, mode = 0o755): Folder {
    const parts = partsOf(path);
    const before = this.find(path);
    if (before?.kind === "directory") return before;
    const folder = this.#folderAt(parts, path);
    folder.mode = mode;
    return folder;
  }

  /** A file of ours. */
  setFile(path: string, content: string): void {
    const parts = partsOf(path);
    const name = parts.pop() ?? "";
    const metadata = { mode: 0o644, uid: 0, gid: 0, mtime: 0, attributes: NO_ATTRIBUTES };
    this.#put(this.#folderAt(parts, path), name, {
      kind: "file",
      ...metadata,
      content: Buffer.from(content),
    });
  }

  remove(path: string): void {
    const parts = partsOf(path);
    const name = parts.pop() ?? "";
    this.#follow(parts, false)?.places.delete(name);
  }

  /** What is at a path, links followed. */
  find(path: string): Inode | undefined {
    const parts = partsOf(path);
    for (let links = 0; links <= MAX_LINKS; links++) {
      const name = parts.pop();
      if (name === undefined) return this.root;
      const walked = this.#walk(parts, false);
      const inode = walked?.at(-1)?.[1].places.get(name)?.inode;
      if (walked === undefined || inode?.kind !== "symlink") return inode;
      const names = walked.slice(1).map(([part]) => part);
      parts.splice(0, parts.length, ...joined(names, inode.target));
    }
    return undefined;
  }

  /** Every name beneath the root, folders before what is in them; the first of an inode's names comes without `first`. */
  *entries(): Generator<{ path: string; inode: Inode; first: string | undefined }> {
    const firsts = new Map<Inode, string>();
    const stack: { prefix: string; places: Iterator<[string, Place]> }[] = [
      { prefix: "", places: this.root.places.entries() },
    ];
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const next = top.places.next();
      if (next.done === true) {
        stack.pop();
        continue;
      }
      const [name, { inode }] = next.value;
      const path = top.prefix + name;
      if (path.length > MAX_PATH_BYTES) throw invalidImage(`the path ${shown(path)} … is too long`);
      const first = firsts.get(inode);
      if (first === undefined && inode.kind !== "directory") firsts.set(inode, path);
      yield { path, inode, first };
      if (inode.kind === "directory") stack.push({ prefix: `${path}/`, places: inode.places.entries() });
    }
  }

  /** Undefined for a link to itself. */
  #linked({ path, target }: LayerEntry): Leaf | undefined {
    if (partsOf(path).join("/") === partsOf(target).join("/")) return undefined;
    const parts = partsOf(target);
    const name = parts.pop() ?? "";
    const inode = this.#follow(parts, false)?.places.get(name)?.inode;
    if (inode === undefined || inode.kind === "directory")
      throw invalidImage(`${shown(path)} is a hard link to ${shown(target)}, which is not a file`);
    return inode;
  }

  #whiteOut(parts: string[], name: string): void {
    const parent = this.#follow(parts, false);
    if (parent === undefined) return;
    if (name === OPAQUE) return this.#hideLower(parent);
    if (name.startsWith(AUFS)) return;
    const hidden = name.slice(WHITEOUT.length);
    const place = parent.places.get(hidden);
    if (place === undefined) return;
    if (place.inode.kind === "directory") this.#hideLower(place.inode);
    if (place.layer !== this.#layer && !hasPlaces(place.inode)) parent.places.delete(hidden);
  }

  /** Removes what lower layers put beneath a folder. A whiteout hides nothing of its own layer, wherever in the layer it stands. */
  #hideLower(folder: Folder): void {
    // Children after their folder, so that from the end, each folder is judged when its own are done.
    const order: Folder[] = [folder];
    for (let at = 0; at < order.length; at++) {
      const one = order[at] as Folder;
      if (one.hiddenIn === this.#layer) continue;
      for (const { inode } of one.places.values()) if (inode.kind === "directory") order.push(inode);
    }
    for (const one of order.reverse()) {
      if (one.hiddenIn === this.#layer) continue;
      one.hiddenIn = this.#layer;
      for (const [name, { inode, layer }] of one.places)
        if (layer !== this.#layer && !hasPlaces(inode)) one.places.delete(name);
    }
  }

  #folderAt(parts: readonly string[], path: string): Folder {
    const folder = this.#follow(parts, true);
    if (folder === undefined) throw invalidImage(`the path ${shown(path)} leads through too many links`);
    return folder;
  }

  /** The folder at a path. Links in it lead within the tree. `make`: what is missing, or no folder, becomes one. */
  #follow(parts: readonly string[], make: boolean): Folder | undefined {
    return this.#walk(parts, make)?.at(-1)?.[1];
  }

  /** The folders from the root to the end of a path, by name. */
  #walk(parts: readonly string[], make: boolean): [string, Folder][] | undefined {
    const walked: [string, Folder][] = [["", this.root]];
    const left = parts.toReversed();
    let links = 0;
    for (let steps = 0; ; steps++) {
      const name = left.pop();
      if (name === undefined) return walked;
      if (steps > MAX_STEPS) return undefined;
      if (name === "" || name === ".") continue;
      if (name === "..") {
        if (walked.length > 1) walked.pop();
        continue;
      }
      const [, folder] = walked.at(-1) as [string, Folder];
      let inode = folder.places.get(name)?.inode;
      if (inode?.kind === "symlink") {
        if (++links > MAX_LINKS) return undefined;
        if (inode.target.startsWith("/")) walked.length = 1;
        left.push(...inode.target.split("/").reverse());
        continue;
      }
      if (inode?.kind !== "directory") {
        if (!make) return undefined;
        inode = newFolder(0o755);
        this.#count();
        this.#put(folder, name, inode);
      }
      if (walked.length >= MAX_DEPTH) throw invalidImage(`it has folders more than ${MAX_DEPTH} deep`);
      walked.push([name, inode]);
    }
  }

  #put(parent: Folder, name: string, inode: Inode): void {
    if (name.length > MAX_NAME_BYTES) throw invalidImage(`the name ${shown(name)} … is too long`);
    parent.places.set(name, { inode, layer: this.#layer });
  }

  #count(): void {
    if (++this.#made > this.#maxNames) throw tooLarge(`its layers have more than ${this.#maxNames} entries`);
  }
}

function newFolder(mode: number): Folder {
  const metadata = { mode, uid: 0, gid: 0, mtime: 0, attributes: NO_ATTRIBUTES };
  return { kind: "directory", ...metadata, places: new Map(), hiddenIn: -1 };
}

function hasPlaces(inode: Inode): boolean {
  return inode.kind === "directory" && inode.places.size > 0;
}

function metadataOf({ mode, uid, gid, mtime, attributes }: LayerEntry): Metadata {
  return { mode, uid, gid, mtime, attributes };
}

/** A name of a layer as parts beneath the root. `..` leads no higher than the root. */
function partsOf(path: string): string[] {
  return joined([], path);
}

function joined(from: readonly string[], path: string): string[] {
  const parts = path.startsWith("/") ? [] : [...from];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") parts.pop();
    else parts.push(part);
  }
  return parts;
}
