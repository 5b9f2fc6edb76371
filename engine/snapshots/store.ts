/** Snapshots on disk: published by one rename, read-only after, found by id, unique prefix or tag. */

import { randomBytes } from "node:crypto";
import { chmod, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { suggestNearest } from "../../api/nearest.ts";
import { SNAPSHOT_PARTS } from "../../api/travel.ts";
import { sha256, sha256File } from "../../durable/digest.ts";
import { publish } from "../../durable/publish.ts";
import { sync, writeNew, writeWhole } from "../../durable/write.ts";
import type { SnapshotFiles } from "../../runners/runner.ts";
import { EngineError } from "../errors.ts";
import type { Home } from "../home.ts";
import { type Asked, findAsked } from "../state/asked.ts";
import { clearUnfinished, completeEntries } from "../state/entries.ts";
import { Quarantine } from "../state/quarantine.ts";
import { parseRecord } from "../state/record.ts";
import { checkThere, type Stored, whileThere } from "../state/removed.ts";
import {
  encodeManifest,
  layersOf,
  type Manifest,
  manifest,
  manifestKind,
  type Part,
  part,
  snapshotId,
} from "./manifest.ts";

export interface StoredSnapshot {
  id: string;
  dir: string;
  manifest: Manifest;
  /** It came from elsewhere: what it says of its making is somebody else's word. */
  imported: boolean;
}

/** In the folder of an imported snapshot or capture; no part of it. */
export const IMPORTED_FILE = "imported.json";
const MANIFEST_FILE = "manifest.json";

export interface PartVerdict {
  name: string;
  ok: boolean;
  reason?: string;
}

/** Whether what is in the folder came from elsewhere, or stems from what did. */
export async function isImported(dir: string): Promise<boolean> {
  return (await stat(join(dir, IMPORTED_FILE)).catch(() => null)) !== null;
}

/** What is in the folder `draft` came from elsewhere, or stems from what did: it is only thawed in a jail. */
export async function markImported(draft: string): Promise<void> {
  const text = `${JSON.stringify({ at: new Date().toISOString() })}\n`;
  await writeNew(join(draft, IMPORTED_FILE), text, { survives: "power-loss" });
}

export class SnapshotStore {
  readonly #home: Home;
  readonly #quarantine: Quarantine;
  readonly #known = new Map<string, StoredSnapshot>();
  /** The last change of tags and snapshots. Whether a snapshot goes depends on its tags, so there is one change at a time. */
  #change: Promise<unknown> = Promise.resolve();
  /** Called when a new snapshot is there. */
  onPublished: ((snapshot: StoredSnapshot) => void) | null = null;
  /** Called when a tag names another snapshot than before, or is new. */
  onTagged: ((id: string, tag: string) => void) | null = null;

  constructor(home: Home, quarantine = new Quarantine(home.root)) {
    this.#home = home;
    this.#quarantine = quarantine;
    quarantine.own("tag", { discard: ({ what }) => this.untag(what) });
  }

  /** Removes what a crash left half made. */
  async recover(): Promise<void> {
    await clearUnfinished(this.#home.snapshots);
    await clearUnfinished(this.#home.tags);
  }

  /**
   * Digests the parts in folder `draft` (on the same file system), writes the manifest, and publishes by a rename.
   * @param layers names of disk layers above `disk.qcow2`, lowest first
   */
  async publish(
    draft: string,
    about: Omit<Manifest, "parts" | "schema">,
    signal?: AbortSignal,
    layers: readonly string[] = [],
  ): Promise<StoredSnapshot> {
    const parts: Part[] = [];
    for (const name of [...SNAPSHOT_PARTS, ...layers.map((layer) => part.shape.name.parse(layer))]) {
      const path = join(draft, name);
      const digest = await sha256File(path, signal);
      const { size, blocks } = await stat(path);
      await chmod(path, 0o444);
      parts.push({ name, sizeBytes: size, storedBytes: blocks * 512, sha256: digest });
    }
    const whole: Manifest = { schema: 1, ...about, parts };
    const { text, id } = encodeManifest(whole);
    const dir = join(this.#home.snapshots, id);
    await publish({ draft, target: dir, manifest: { name: MANIFEST_FILE, text } });
    const stored = { id, dir, manifest: whole, imported: await isImported(dir) };
    this.#known.set(id, stored);
    this.onPublished?.(stored);
    return stored;
  }

  /** Publishes the folder `draft` with the parts of a snapshot that was made elsewhere, all of them checked, under the manifest that it came with. */
  async adopt(draft: string, text: string): Promise<void> {
    manifest.parse(JSON.parse(text));
    await markImported(draft);
    const target = join(this.#home.snapshots, snapshotId(text));
    await publish({ draft, target, manifest: { name: MANIFEST_FILE, text } });
  }

  /** Those that can be read; the others are marked, and stay for whatever uses them. */
  async list(): Promise<StoredSnapshot[]> {
    const ids = await completeEntries(this.#home.snapshots);
    const loaded = await Promise.all(
      ids.map(async (id) => {
        try {
          return await this.#load(id);
        } catch (error) {
          const { code, message } = error as EngineError;
          if (code !== "not-found") this.#mark(id, message);
          return null;
        }
      }),
    );
    return loaded.filter((snapshot) => snapshot !== null);
  }

  /** tag → id. A tag that can't be read is marked. */
  async tags(): Promise<Map<string, string>> {
    const names = await completeEntries(this.#home.tags);
    const ids = await Promise.all(names.map((name) => this.#readTag(name)));
    return new Map(
      names.flatMap((name, index): [string, string][] => (ids[index] ? [[name, ids[index]]] : [])),
    );
  }

  async #readTag(name: string): Promise<string | null> {
    const path = join(this.#home.tags, name);
    try {
      const id = (await readFile(path, "utf8")).trim();
      if (/^[0-9a-f]{16}$/.test(id)) {
        this.#quarantine.unmark("tag", name);
        return id;
      }
      const reason = id === "" ? "is empty" : "names no snapshot id";
      this.#quarantine.mark({ kind: "tag", what: name, path, reason });
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT") this.#quarantine.mark({ kind: "tag", what: name, path, reason: message });
    }
    return null;
  }

  #mark(id: string, reason: string): void {
    this.#quarantine.mark({ kind: "snapshot", what: id, path: join(this.#home.snapshots, id), reason });
  }

  /** By tag, id or unique prefix of an id. Throws `not-found` with the nearest names, `snapshot-corrupt` when its manifest was altered. */
  async get(reference: string): Promise<StoredSnapshot> {
    const tags = await this.tags();
    const ids = await completeEntries(this.#home.snapshots);
    const tagged = tags.get(reference);
    if (tagged !== undefined && ids.includes(tagged)) return this.#load(tagged);
    // Every id starts with nothing.
    const matches = reference === "" ? [] : ids.filter((id) => id.startsWith(reference));
    if (matches.length === 1 && matches[0]) return this.#load(matches[0]);
    if (matches.length > 1)
      throw new EngineError("usage", `${reference} fits ${matches.length} snapshots: ${matches.join(", ")}`);
    throw new EngineError("not-found", `no snapshot ${reference}`, {
      hint: suggestNearest(reference, [...tags.keys(), ...ids], "thaw snapshot ls"),
    });
  }

  /** SHA-256 of its manifest, 64 hex digits; the id is the beginning of it. */
  async digest(id: string): Promise<string> {
    return sha256(await readFile(join(this.#home.snapshots, id, MANIFEST_FILE), "utf8"));
  }

  /** By what it says of its making; imported ones are not believed. */
  async find(matches: (value: Manifest) => boolean): Promise<StoredSnapshot | null> {
    return (await this.list()).find(({ manifest: value, imported }) => !imported && matches(value)) ?? null;
  }

  /** The snapshot that was made for a client's request, and what its answer says beside it; null when there is none. */
  async madeFor(request: string): Promise<{ snapshot: StoredSnapshot; asked: Asked } | null> {
    const found = await findAsked(this.#home.snapshots, request);
    if (found === null || found.name.startsWith(".")) return null;
    return { snapshot: await this.#load(found.name), asked: found.asked };
  }

  /** Throws `not-found` when the snapshot was removed. */
  tag(id: string, tag: string): Promise<void> {
    return this.#alone(async () => {
      const before = (await this.tags()).get(tag);
      checkThere(this.#stored(id));
      await writeWhole(join(this.#home.tags, tag), `${id}\n`, { survives: "power-loss" });
      this.#quarantine.unmark("tag", tag);
      if (before !== id) this.onTagged?.(id, tag);
    });
  }

  untag(tag: string): Promise<void> {
    return this.#alone(() => this.#untag(tag));
  }

  async #untag(tag: string): Promise<void> {
    await rm(join(this.#home.tags, tag), { force: true });
    await sync(this.#home.tags);
    this.#quarantine.unmark("tag", tag);
  }

  /**
   * Out of sight by one rename, then away. The caller has made sure that nothing uses it.
   * @param withTags tags that it may have; default: any
   * @returns false when it has another by now, and stays
   */
  async remove(id: string, withTags?: readonly string[]): Promise<boolean> {
    const grave = join(this.#home.snapshots, `.${randomBytes(8).toString("hex")}`);
    const isBuried = await this.#alone(async () => {
      const tags = [...(await this.tags())].filter(([, of]) => of === id).map(([tag]) => tag);
      if (withTags !== undefined && !tags.every((tag) => withTags.includes(tag))) return false;
      for (const tag of tags) await this.#untag(tag);
      this.#known.delete(id);
      this.#quarantine.unmark("snapshot", id);
      await whileThere(this.#stored(id), () => rename(join(this.#home.snapshots, id), grave));
      return true;
    });
    if (isBuried) await rm(grave, { recursive: true, force: true });
    return isBuried;
  }

  #alone<T>(change: () => Promise<T>): Promise<T> {
    const done = this.#change.then(change);
    this.#change = done.catch(() => {});
    return done;
  }

  /** O(1), before every thaw: the manifest, every size, and the digest of the device state. Throws `snapshot-corrupt` naming the file. */
  checkForThaw(snapshot: StoredSnapshot): Promise<SnapshotFiles> {
    return whileThere(this.#stored(snapshot.id), () => this.#checkForThaw(snapshot));
  }

  async #checkForThaw(snapshot: StoredSnapshot): Promise<SnapshotFiles> {
    const fresh = await this.#read(snapshot.id);
    for (const expected of fresh.manifest.parts) {
      const path = join(fresh.dir, expected.name);
      const found = await stat(path).catch(() => null);
      if (!found) throw corrupt(fresh.id, expected.name, "is missing");
      if (found.size !== expected.sizeBytes)
        throw corrupt(fresh.id, expected.name, `has ${found.size} bytes, not ${expected.sizeBytes}`);
      if (expected.name === "devices" && (await sha256File(path)) !== expected.sha256) {
        throw corrupt(fresh.id, expected.name, "does not match its digest");
      }
    }
    const { resources, needs } = fresh.manifest;
    const { dir, id, imported } = fresh;
    return { dir, id, layers: layersOf(fresh.manifest), resources, needs, imported };
  }

  /** Reads everything: every part's size and digest. */
  verify(snapshot: StoredSnapshot, signal?: AbortSignal): Promise<PartVerdict[]> {
    return whileThere(this.#stored(snapshot.id), () => this.#verify(snapshot, signal));
  }

  async #verify(snapshot: StoredSnapshot, signal?: AbortSignal): Promise<PartVerdict[]> {
    const verdicts: PartVerdict[] = [];
    for (const expected of snapshot.manifest.parts) {
      const path = join(snapshot.dir, expected.name);
      const found = await stat(path).catch(() => null);
      if (!found) verdicts.push({ name: expected.name, ok: false, reason: "missing" });
      else if (found.size !== expected.sizeBytes) {
        verdicts.push({
          name: expected.name,
          ok: false,
          reason: `${found.size} bytes, not ${expected.sizeBytes}`,
        });
      } else if ((await sha256File(path, signal)) !== expected.sha256) {
        verdicts.push({
          name: expected.name,
          ok: false,
          reason: "its content changed since it was published",
        });
      } else verdicts.push({ name: expected.name, ok: true });
    }
    if (verdicts.some(({ ok }) => !ok)) checkThere(this.#stored(snapshot.id));
    return verdicts;
  }

  async #load(id: string): Promise<StoredSnapshot> {
    return this.#known.get(id) ?? (await whileThere(this.#stored(id), () => this.#read(id)));
  }

  #stored(id: string): Stored {
    return { kind: "snapshot", id, dir: join(this.#home.snapshots, id) };
  }

  async #read(id: string): Promise<StoredSnapshot> {
    const dir = join(this.#home.snapshots, id);
    const text = await readFile(join(dir, MANIFEST_FILE), "utf8").catch((error: NodeJS.ErrnoException) => {
      const missing = error.code === "ENOENT" || error.code === "ENOTDIR";
      throw corrupt(id, MANIFEST_FILE, missing ? "is missing" : `can't be read: ${error.message}`);
    });
    if (snapshotId(text) !== id)
      throw corrupt(id, MANIFEST_FILE, "was altered: its digest is not the snapshot's id");
    const read = parseRecord(text, manifestKind);
    if (read.state !== "ok")
      throw corrupt(id, MANIFEST_FILE, read.state === "absent" ? "is missing" : read.reason);
    const stored = { id, dir, manifest: read.value, imported: await isImported(dir) };
    this.#known.set(id, stored);
    this.#quarantine.unmark("snapshot", id);
    return stored;
  }
}

function corrupt(id: string, name: string, what: string): EngineError {
  return new EngineError("snapshot-corrupt", `snapshot ${id}: ${name} ${what}`, {
    hint: `thaw snapshot verify ${id}; then thaw snapshot rm ${id} and build it again`,
  });
}
