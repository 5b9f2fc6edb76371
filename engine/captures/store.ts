/** Captures on disk: published by one rename, never changed after, found by id, unique prefix or `latest`. */

import { randomBytes } from "node:crypto";
import { chmod, mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type CaptureNotes, type CaseFile, captureNotes } from "../../api/case-file.ts";
import { suggestNearest } from "../../api/nearest.ts";
import { publish } from "../../durable/publish.ts";
import type { DifferenceFiles, Runner } from "../../runners/runner.ts";
import { isNoSpace } from "../as-engine-error.ts";
import { EngineError } from "../errors.ts";
import { type RecordedRequest, requestKind } from "../execs/request.ts";
import type { Home } from "../home.ts";
import { randomId } from "../ids.ts";
import { type SealedSecrets, secretsKind } from "../secrets/sealed.ts";
import { isImported, markImported, type PartVerdict } from "../snapshots/store.ts";
import { findAsked } from "../state/asked.ts";
import { completeEntries } from "../state/entries.ts";
import type { Quarantine } from "../state/quarantine.ts";
import { readRecord, writeRecord } from "../state/record.ts";
import { checkThere, type Stored, whileThere } from "../state/removed.ts";
import { expandSparse } from "../travel/sparse.ts";
import {
  type CaptureManifest,
  type CapturePart,
  captureManifestKind,
  caseKind,
  notesKind,
} from "./case-file.ts";
import { faultOf } from "./parts.ts";

export interface StoredCapture {
  id: string;
  dir: string;
  manifest: CaptureManifest;
  file: CaseFile;
}

export interface DifferenceOptions {
  /** Existing folder. */
  into: string;
  runner: Runner;
  /** `before-`: the machine as it was before the command. */
  prefix?: "" | "before-";
  signal: AbortSignal;
}

const ID_LETTERS = 6;
/** In the folder of a capture or of a draft; no part of it. */
export const SECRETS_FILE = "secrets.json";
const MANIFEST_FILE = "manifest.json";

export class CaptureStore {
  readonly #home: Home;
  readonly #quarantine: Quarantine;
  readonly #needDisk: (bytes: number) => Promise<void>;
  readonly #known = new Map<string, StoredCapture>();
  /** Those being stored: who asks waits for them. */
  readonly #pending = new Set<Promise<unknown>>();
  /** Called before anything is looked up: what waits for room may be stored now. */
  onRead: () => Promise<unknown> = async () => {};
  #noting: Promise<void> = Promise.resolve();

  /** @param needDisk throws `no-space` when there is no room on the disk for that many bytes beside what the host keeps free */
  constructor(home: Home, quarantine: Quarantine, needDisk: (bytes: number) => Promise<void>) {
    this.#home = home;
    this.#needDisk = needDisk;
    this.#quarantine = quarantine;
  }

  /** A folder for a capture in the making, under a fresh id. A crash leaves it for `drafts`. */
  async draft(prefix: "fail" | "capture"): Promise<{ id: string; dir: string }> {
    for (;;) {
      const id = `${prefix}-${randomId().slice(0, ID_LETTERS)}`;
      if ((await completeEntries(this.#home.captures)).includes(id)) continue;
      const dir = this.draftDir(id);
      await mkdir(dir, { mode: 0o711 });
      return { id, dir };
    }
  }

  draftDir(id: string): string {
    return join(this.#home.captures, `.${id}`);
  }

  /** Ids of captures that were not whole when the daemon ended; whatever else is half made is removed. */
  async drafts(): Promise<string[]> {
    const names = (await readdir(this.#home.captures).catch(() => [])).filter((name) => name.startsWith("."));
    const ids = names.map((name) => name.slice(1)).filter((name) => /^(fail|capture)-/.test(name));
    const rest = names.filter((name) => !ids.includes(name.slice(1)));
    await Promise.all(
      rest.map((name) => rm(join(this.#home.captures, name), { recursive: true, force: true })),
    );
    return ids;
  }

  /** Whoever lists or gets waits for this work. */
  async whileStoring<T>(work: Promise<T>): Promise<T> {
    this.#pending.add(work);
    try {
      return await work;
    } finally {
      this.#pending.delete(work);
    }
  }

  /** Publishes the folder `parts` with all parts of a capture taken elsewhere, checked, under the manifest that it came with. */
  async adopt(parts: string, text: string, manifest: CaptureManifest): Promise<StoredCapture> {
    for (const { name } of manifest.parts)
      await chmod(join(parts, name), name === "request.json" ? 0o400 : 0o444);
    await markImported(parts);
    return this.publish(parts, manifest, text);
  }

  /** Publishes the folder `parts`, which has a `case.json` and all that the manifest lists, by a rename. */
  async publish(
    parts: string,
    manifest: CaptureManifest,
    text = `${JSON.stringify(manifest, null, 2)}\n`,
  ): Promise<StoredCapture> {
    const published = await publish({
      ...{ draft: parts, target: join(this.#home.captures, manifest.id) },
      ...{ manifest: { name: MANIFEST_FILE, text }, mode: 0o711 },
    });
    if (!published)
      throw new EngineError("conflict", `there is already a capture ${manifest.id}`, {
        hint: `thaw capture show ${manifest.id}`,
      });
    return this.#load(manifest.id);
  }

  async #settled(): Promise<void> {
    await this.onRead();
    await Promise.allSettled(this.#pending);
  }

  /** Newest first. */
  async list(): Promise<StoredCapture[]> {
    await this.#settled();
    const ids = await completeEntries(this.#home.captures);
    const loaded = await Promise.all(ids.map((id) => this.#load(id).catch(() => null)));
    return loaded
      .filter((capture) => capture !== null)
      .sort((a, b) => b.manifest.createdAt.localeCompare(a.manifest.createdAt));
  }

  /** Those that are there and can't be read, and why. */
  async unreadable(): Promise<{ id: string; reason: string }[]> {
    const ids = await completeEntries(this.#home.captures);
    const faults = await Promise.all(
      ids.map((id) =>
        this.#load(id).then(
          () => [],
          (error: EngineError) => (error.code === "not-found" ? [] : [{ id, reason: error.message }]),
        ),
      ),
    );
    return faults.flat();
  }

  /** The snapshot that a capture is based on, whether or not the rest of it can be read; null when its manifest can't. */
  async baseOf(id: string): Promise<string | null> {
    const manifest = await readRecord(join(this.#home.captures, id, MANIFEST_FILE), captureManifestKind);
    return manifest.state === "ok" ? manifest.value.base.snapshot : null;
  }

  /** By id, unique prefix, the id without `fail-`, or `latest`. Throws `not-found`, `capture-corrupt`. */
  async get(reference: string): Promise<StoredCapture> {
    const all = await this.list();
    if (reference === "latest") {
      const [newest] = all;
      if (newest) return newest;
      throw new EngineError("not-found", "there is no capture on this host", {
        hint: "thaw run --capture on-failure -- …",
      });
    }
    const ids = await completeEntries(this.#home.captures);
    if (ids.includes(reference)) return this.#load(reference);
    const fits = (id: string): boolean =>
      reference !== "" && (id.startsWith(reference) || id.slice(id.indexOf("-") + 1).startsWith(reference));
    const matches = ids.filter(fits);
    if (matches.length === 1 && matches[0]) return this.#load(matches[0]);
    if (matches.length > 1)
      throw new EngineError("usage", `${reference} fits ${matches.length} captures: ${matches.join(", ")}`);
    throw new EngineError("not-found", `no capture ${reference}`, {
      hint: suggestNearest(reference, ids, "thaw capture ls"),
    });
  }

  /** The capture that was made for a client's request; null when there is none. Waits for those being stored. */
  async madeFor(request: string): Promise<StoredCapture | null> {
    await this.#settled();
    const found = await findAsked(this.#home.captures, request);
    return found === null || found.name.startsWith(".") ? null : this.#load(found.name);
  }

  /** Reads everything: every part's size and digest. */
  async verify({ id, dir, manifest }: StoredCapture, signal?: AbortSignal): Promise<PartVerdict[]> {
    const verdicts: PartVerdict[] = [];
    for (const part of manifest.parts) {
      const fault = await faultOf(join(dir, part.name), part, signal);
      if (fault !== null) checkThere(this.#stored(id));
      verdicts.push({ name: part.name, ok: fault === null, ...(fault === null ? {} : { reason: fault }) });
    }
    return verdicts;
  }

  /** Checks and opens the parts whose stored names end in `.zst` and fit, into the existing folder `into`. Throws `capture-corrupt`. */
  async expand(
    capture: StoredCapture,
    fits: (name: string) => boolean,
    into: string,
    signal?: AbortSignal,
  ): Promise<void> {
    const parts = capture.manifest.parts.filter(({ name }) => name.endsWith(".zst") && fits(name));
    // It opens to this at least; what it is more is asked for while it is opened.
    await this.#needDisk(parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
    await whileThere(this.#stored(capture.id), async () => {
      await Promise.all(parts.map((part) => this.#expandOne(capture, part, into, signal)));
    });
  }

  /**
   * The machine's difference to its base, checked and opened into the existing folder `into`.
   */
  async difference(
    capture: StoredCapture,
    { into, runner, prefix = "", signal }: DifferenceOptions,
  ): Promise<DifferenceFiles> {
    const { manifest } = capture;
    const names = manifest.parts.map(({ name }) => name).filter((name) => isMachinePart(name, prefix));
    await this.expand(capture, (name) => (names as string[]).includes(name), into, signal);
    const opened = names.map((name) => name.slice(0, -".zst".length));
    for (const name of prefix === "" ? [] : opened)
      await rename(join(into, name), join(into, name.slice(prefix.length)));
    const layers = opened
      .map((name) => name.slice(prefix.length))
      .filter((name) => name.startsWith("layer-"));
    layers.sort((a, b) => Number(/\d+/.exec(a)?.[0]) - Number(/\d+/.exec(b)?.[0]));
    const id = `${runner.name}-${capture.id}-${randomBytes(4).toString("hex")}`;
    const imported = await isImported(capture.dir);
    return { dir: into, id, layers, build: manifest.needs.build, imported };
  }

  /** How to run the recorded command again; null for a capture without one. Throws `capture-corrupt`. */
  request(capture: StoredCapture): Promise<RecordedRequest | null> {
    return whileThere(this.#stored(capture.id), () => this.#request(capture));
  }

  async #request(capture: StoredCapture): Promise<RecordedRequest | null> {
    const part = capture.manifest.parts.find(({ name }) => name === "request.json");
    if (!part) return null;
    const path = join(capture.dir, part.name);
    const fault = await faultOf(path, part);
    if (fault !== null) throw corrupt(capture.id, part.name, fault);
    const read = await readRecord(path, requestKind);
    if (read.state === "ok") return read.value;
    throw corrupt(capture.id, part.name, read.state === "absent" ? "is missing" : read.reason);
  }

  /** Notes that can't be read may say that it is pinned: it is kept then. */
  async notes(id: string): Promise<CaptureNotes> {
    const read = await readRecord(this.#notesPath(id), notesKind);
    if (read.state === "ok") return read.value;
    return captureNotes.parse({ pinned: read.state === "unreadable" });
  }

  /** One after the other: each changes what the one before has written. */
  note(id: string, change: Partial<CaptureNotes>): Promise<void> {
    const noted = this.#noting.then(async () => {
      const path = this.#notesPath(id);
      const read = await readRecord(path, notesKind);
      const notes = { ...(await this.notes(id)), ...change };
      if (read.state === "unreadable")
        await this.#quarantine.setAside({ kind: "notes", what: id, path, reason: read.reason });
      const write = () => writeRecord(path, notesKind, notes, { survives: "power-loss" });
      await whileThere(this.#stored(id), write);
    });
    this.#noting = noted.catch(() => {});
    return noted;
  }

  /**
   * What finds the secret values that its machine was told; null when it was told none. Never leaves the host. Throws `capture-corrupt` when
   * it can't be read: nothing is then looked for in its place.
   */
  async secrets(id: string): Promise<SealedSecrets | null> {
    const read = await readRecord(join(this.#home.captures, id, SECRETS_FILE), secretsKind);
    if (read.state === "unreadable") throw corrupt(id, SECRETS_FILE, read.reason);
    return read.state === "ok" ? read.value : null;
  }

  /** Out of sight by one rename, then away. The caller has made sure that nothing uses it. */
  async remove(id: string): Promise<void> {
    this.#known.delete(id);
    const grave = join(this.#home.captures, `.${randomBytes(8).toString("hex")}`);
    await whileThere(this.#stored(id), () => rename(join(this.#home.captures, id), grave));
    await rm(grave, { recursive: true, force: true });
  }

  #stored(id: string): Stored {
    return { kind: "capture", id, dir: join(this.#home.captures, id) };
  }

  /** In the capture's folder; no part of it. */
  #notesPath(id: string): string {
    return join(this.#home.captures, id, "notes.json");
  }

  async #expandOne(
    capture: StoredCapture,
    part: CapturePart,
    into: string,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const path = join(capture.dir, part.name);
    const fault = await faultOf(path, part, signal);
    if (fault !== null) throw corrupt(capture.id, part.name, fault);
    await expandSparse(path, join(into, part.name.slice(0, -".zst".length)), {
      limitBytes: part.rawBytes,
      room: this.#needDisk,
      signal,
    }).catch((error: Error) => {
      if (signal?.aborted) throw error;
      if (isNoSpace(error)) throw error;
      throw corrupt(capture.id, part.name, `can't be opened: ${error.message}`);
    });
  }

  #load(id: string): Promise<StoredCapture> {
    return whileThere(this.#stored(id), () => this.#read(id));
  }

  async #read(id: string): Promise<StoredCapture> {
    const known = this.#known.get(id);
    if (known) return known;
    const dir = join(this.#home.captures, id);
    const read = await readRecord(join(dir, MANIFEST_FILE), captureManifestKind);
    if (read.state === "unreadable") throw corrupt(id, MANIFEST_FILE, read.reason);
    if (read.state === "absent" || read.value.id !== id)
      throw corrupt(id, MANIFEST_FILE, "is missing, or is not this capture's");
    const manifest = read.value;
    const part = manifest.parts.find(({ name }) => name === "case.json");
    const fault = part ? await faultOf(join(dir, "case.json"), part) : "is not in the manifest";
    if (fault !== null) throw corrupt(id, "case.json", fault);
    const file = await readRecord(join(dir, "case.json"), caseKind);
    if (file.state !== "ok")
      throw corrupt(id, "case.json", file.state === "absent" ? "is missing" : file.reason);
    const stored = { id, dir, manifest, file: file.value };
    checkThere(this.#stored(id));
    this.#known.set(id, stored);
    return stored;
  }
}

function isMachinePart(name: string, prefix: "" | "before-"): boolean {
  return name.startsWith(prefix) && /^(pages|devices|layer-\d+\.qcow2)\.zst$/.test(name.slice(prefix.length));
}

export function corrupt(id: string, name: string, what: string): EngineError {
  return new EngineError("capture-corrupt", `capture ${id}: ${name} ${what}`, {
    hint: `thaw capture verify ${id} checks every part; pull the capture again, or remove it: thaw capture rm ${id}`,
  });
}
