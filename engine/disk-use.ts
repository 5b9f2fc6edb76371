/** What takes the disk: allocated blocks of the files in the state folder's own folders, each file once, whatever number of names it has. */
import type { BigIntStats } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import type { DiskKind, DiskKindUse, DiskUse } from "../api/disk.ts";
import { Gate } from "./concurrency.ts";
import type { Home } from "./home.ts";
import type { Parts } from "./parts.ts";
import { QUARANTINE_KINDS } from "./state/quarantine.ts";

/** Files that are looked at, at a time and at most. */
const AT_ONCE = 16;
const MAX_FILES = 100_000;
const MAX_DEPTH = 16;
/** Of what is not counted, this many are named. */
const MAX_NAMED = 100;

/** Where the entries of a kind are. */
export interface DiskPlace {
  kind: DiskKind;
  /** Each file and folder in these is an entry. */
  folders: readonly string[];
  /** These are entries themselves, where they exist. */
  paths?: readonly string[];
}

/** An entry that `prune` would remove. */
export interface Prunable {
  kind: DiskKind;
  id: string;
}
/** Ids have this many characters at most; those of compressed parts are beginnings. */
const ID_LENGTH = 16;

/** The places of a state folder. */
export function placesOf(home: Home): DiskPlace[] {
  const inHome = (...names: string[]): string[] => names.map((name) => join(home.root, name));
  return [
    { kind: "snapshots", folders: [home.snapshots] },
    { kind: "captures", folders: [home.captures] },
    { kind: "caches", folders: [home.caches] },
    { kind: "sandboxes", folders: [home.sandboxes] },
    { kind: "steps", folders: [home.steps] },
    { kind: "rootfs", folders: [home.rootfs] },
    { kind: "kernels", folders: [home.kernels] },
    { kind: "compressed", folders: [home.wire] },
    { kind: "imports", folders: [home.imports] },
    { kind: "builds", folders: [home.builds] },
    { kind: "quarantine", folders: inHome(...QUARANTINE_KINDS.map((kind) => `quarantine/${kind}`)) },
    { kind: "versions", folders: inHome("versions") },
    {
      kind: "logs",
      folders: [],
      paths: [home.events, home.audit, ...inHome("daemon.log", "daemon.log.1")],
    },
    {
      kind: "other",
      folders: [],
      paths: [
        ...[home.downloads, home.packages, home.tags, home.reruns, home.config, home.clock, home.heartbeat],
        ...inHome("cache", "daemon.lock", "host.json", "page.json", "preview.json"),
      ],
    },
  ];
}

/** A file, by its device and inode. */
interface Counted {
  bytes: number;
  /** Names that it has anywhere, and those seen so far. */
  links: number;
  seen: number;
}
type Files = Map<string, Counted>;

interface Entry {
  kind: DiskKind;
  id: string;
  files: Files;
}

type Measured = Pick<DiskUse, "bytes" | "prunableBytes" | "kinds" | "notCounted">;

/** @param prunable null: not known. Never throws for what can't be read: that is named. */
export async function measureDisk(
  root: string,
  places: readonly DiskPlace[],
  prunable: readonly Prunable[] | null,
): Promise<Measured> {
  const walk = new Walk(root);
  const found = await Promise.all(places.map((place) => walk.entriesOf(place)));
  const kinds = countKinds(
    places.map(({ kind }, index) => ({ kind, entries: found[index] ?? [] })),
    prunable,
  );
  const sum = (of: (kind: DiskKindUse) => number): number => kinds.reduce((all, kind) => all + of(kind), 0);
  return {
    bytes: sum(({ bytes }) => bytes),
    prunableBytes: prunable === null ? null : sum(({ prunableBytes }) => prunableBytes ?? 0),
    kinds,
    notCounted: walk.notCounted,
  };
}

type DiskContext = Pick<Parts, "archive" | "caches" | "home" | "registry" | "room" | "snapshots">;

/** What the state folder takes of its disk. */
export class DiskMeter {
  readonly #context: DiskContext;
  #measuring: Promise<DiskUse> | null = null;

  constructor(context: DiskContext) {
    this.#context = context;
  }

  /** Who asks while it is measured gets the same answer. */
  measure(): Promise<DiskUse> {
    this.#measuring ??= this.#measure().finally(() => {
      this.#measuring = null;
    });
    return this.#measuring;
  }

  async #measure(): Promise<DiskUse> {
    const { home, room } = this.#context;
    // A host where something can't be looked at still tells what takes its disk.
    const [prunable, names] = await Promise.all([this.#prunable().catch(() => null), this.#names()]);
    const { kinds, ...measured } = await measureDisk(home.root, placesOf(home), prunable);
    return {
      home: home.root,
      disk: await room.diskFigures(),
      ...measured,
      kinds: kinds.map((kind) => ({
        ...kind,
        entries: kind.entries.map((entry) => ({ ...entry, name: names.get(entry.id) ?? null })),
      })),
    };
  }

  async #prunable(): Promise<Prunable[]> {
    const { unreadable: _unreadable, ...pruned } = await this.#context.archive.prune({ dryRun: true });
    return Object.entries(pruned).flatMap(([kind, removals]) =>
      removals.map(({ id }) => ({ kind: kind as DiskKind, id })),
    );
  }

  /** By id, as far as they can be read. */
  async #names(): Promise<Map<string, string>> {
    const { caches, registry, snapshots } = this.#context;
    const [tags, kept] = await Promise.all([
      snapshots.tags().catch(() => new Map<string, string>()),
      caches.list().catch(() => []),
    ]);
    const names = new Map<string, string>();
    for (const [tag, id] of tags) names.set(id, names.has(id) ? `${names.get(id)}, ${tag}` : tag);
    for (const { id, key } of kept) names.set(id, key);
    for (const { record } of registry.present) names.set(record.id, record.name);
    return names;
  }
}

function countKinds(
  found: readonly { kind: DiskKind; entries: readonly Entry[] }[],
  prunable: readonly Prunable[] | null,
): DiskKindUse[] {
  /** The kind that a file is counted with. */
  const counted = new Map<string, DiskKind>();
  const bytesOf = new Map<DiskKind, number>();
  for (const { kind, entries } of found)
    for (const { files } of entries)
      for (const [key, { bytes }] of files) {
        if (counted.has(key)) continue;
        counted.set(key, kind);
        bytesOf.set(kind, (bytesOf.get(kind) ?? 0) + bytes);
      }
  const keyOf = ({ kind, id }: Prunable): string => `${kind}/${id.slice(0, ID_LENGTH)}`;
  const goesByPrune = new Set(prunable?.map(keyOf));
  const freed = new Map<DiskKind, number>();
  const goes = found.flatMap(({ entries }) => entries.filter((entry) => goesByPrune.has(keyOf(entry))));
  for (const [key, { bytes }] of freedFiles(goes)) {
    const kind = counted.get(key) ?? "other";
    freed.set(kind, (freed.get(kind) ?? 0) + bytes);
  }
  return found.map(({ kind, entries }) => {
    const complete = entries.filter(({ id }) => !id.startsWith("."));
    return {
      kind,
      count: complete.length,
      bytes: bytesOf.get(kind) ?? 0,
      prunableBytes: prunable === null ? null : (freed.get(kind) ?? 0),
      entries: complete.map((entry) => ({
        id: entry.id,
        name: null,
        bytes: sumOf(entry.files.values()),
        freesBytes: sumOf(freedFiles([entry]).values()),
      })),
    };
  });
}

/** Files all of whose names are in these entries. */
function freedFiles(entries: readonly Entry[]): Files {
  const all: Files = new Map();
  for (const { files } of entries)
    for (const [key, file] of files) {
      const seen = file.seen + (all.get(key)?.seen ?? 0);
      all.set(key, { ...file, seen });
    }
  return new Map([...all].filter(([, { links, seen }]) => seen >= links));
}

function sumOf(files: Iterable<Counted>): number {
  let sum = 0;
  for (const { bytes } of files) sum += bytes;
  return sum;
}

/** Looks at files, and reads folders. Symbolic links are counted and never followed. */
class Walk {
  readonly #root: string;
  readonly #gate = new Gate(AT_ONCE);
  /** Entries at a time: their files wait for the other gate, and take memory meanwhile. */
  readonly #entries = new Gate(AT_ONCE);
  readonly notCounted: { path: string; reason: string }[] = [];
  #left = MAX_FILES;

  constructor(root: string) {
    this.#root = root;
  }

  /** In order of their names. */
  async entriesOf({ kind, folders, paths = [] }: DiskPlace): Promise<Entry[]> {
    const inside = await Promise.all(
      folders.map(async (folder) => {
        const found = await this.#look(folder);
        if (found === null) return [];
        const names = found.isDirectory()
          ? await this.#read(folder)
          : this.#leaveOut(folder, "is not a folder");
        return names.map((name) => ({ id: name, path: join(folder, name) }));
      }),
    );
    const all = [...inside.flat(), ...paths.map((path) => ({ id: relative(this.#root, path), path }))];
    const entries = await Promise.all(
      all.map(async ({ id, path }) => {
        const files: Files = new Map();
        await this.#entries.run(() => this.#count(path, files, 0));
        return { kind, id, files };
      }),
    );
    return entries.filter(({ files }) => files.size > 0).sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  async #count(path: string, files: Files, depth: number): Promise<void> {
    const found = await this.#look(path);
    if (found === null) return;
    const key = `${found.dev}:${found.ino}`;
    const isFolder = found.isDirectory();
    files.set(key, {
      bytes: Number(found.blocks) * 512,
      // A folder's links are its own entries.
      links: isFolder ? 1 : Number(found.nlink),
      seen: (files.get(key)?.seen ?? 0) + 1,
    });
    if (!isFolder) return;
    const names =
      depth < MAX_DEPTH
        ? await this.#read(path)
        : this.#leaveOut(path, `is more than ${MAX_DEPTH} folders deep`);
    await Promise.all(names.map((name) => this.#count(join(path, name), files, depth + 1)));
  }

  /** null: it is not there, or can't be looked at. Inodes may have 64 bits. */
  async #look(path: string): Promise<BigIntStats | null> {
    if (this.#left === 0) {
      this.#leaveOut(path, `this and others: there are more than ${MAX_FILES} files`);
      this.#left = -1;
    }
    if (this.#left < 0) return null;
    this.#left -= 1;
    try {
      return await this.#gate.run(() => lstat(path, { bigint: true }));
    } catch (error) {
      this.#failed(path, error);
      return null;
    }
  }

  async #read(folder: string): Promise<string[]> {
    try {
      // One more than may be looked at, so that it is told.
      return (await this.#gate.run(() => readdir(folder))).slice(0, this.#left + 1);
    } catch (error) {
      return this.#failed(folder, error);
    }
  }

  /** What is removed meanwhile takes nothing. */
  #failed(path: string, error: unknown): string[] {
    const { code, message } = error as NodeJS.ErrnoException;
    return code === "ENOENT" ? [] : this.#leaveOut(path, code ?? message);
  }

  #leaveOut(path: string, reason: string): string[] {
    if (this.notCounted.length < MAX_NAMED)
      this.notCounted.push({ path: relative(this.#root, path), reason });
    return [];
  }
}
