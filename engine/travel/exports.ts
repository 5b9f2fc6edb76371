/** What leaves this host: every export of a snapshot or a capture begins here, whatever store it goes to. */

import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { type Artifact, type WirePart, wireName } from "../../api/travel.ts";
import type { PublishOptions } from "../captures/publish.ts";
import type { Scans } from "../captures/scans.ts";
import { type CaptureStore, corrupt, type StoredCapture } from "../captures/store.ts";
import { EngineError } from "../errors.ts";
import type { Holds } from "../holds.ts";
import { mib, type OnProgress, phase } from "../progress.ts";
import type { Part } from "../snapshots/manifest.ts";
import type { SnapshotStore, StoredSnapshot } from "../snapshots/store.ts";
import { readRecord, recordKind, valueOrNull, writeRecord } from "../state/record.ts";
import { whileThere } from "../state/removed.ts";
import { compressed } from "./sparse.ts";
import { outlineOf } from "./wire.ts";
import type { Removed, WireCache, WireForm } from "./wire-cache.ts";

/** Beside a snapshot, no part of it: what its parts are when they travel, so that each is compressed once to find out. */
const WIRE_FILE = "wire.json";
/** Another zstd may make other bytes of the same. */
const ZSTD = process.versions.zstd ?? "";
const wireKind = recordKind(
  "wire record",
  z.object({
    zstd: z.string().default(""),
    parts: z.record(z.string(), z.object({ sizeBytes: z.number(), sha256: z.string() })),
  }),
);

export interface ExportOptions {
  onProgress: OnProgress;
  signal: AbortSignal;
}

export interface ExportContext {
  snapshots: SnapshotStore;
  captures: CaptureStore;
  scans: Scans;
  holds: Holds;
  cache: WireCache;
}

/** What is exported is held, a capture with its base, until its client had time to come for the next part. */
export class Exports {
  readonly #snapshots: SnapshotStore;
  readonly #captures: CaptureStore;
  readonly #scans: Scans;
  readonly #holds: Holds;
  readonly #cache: WireCache;

  constructor({ snapshots, captures, scans, holds, cache }: ExportContext) {
    this.#snapshots = snapshots;
    this.#captures = captures;
    this.#scans = scans;
    this.#holds = holds;
    this.#cache = cache;
  }

  /** As it may leave the host, which may be less than is here: without its memory its manifest says so. Throws `secrets-found`. */
  async capture(reference: string, publish: PublishOptions = {}): Promise<Artifact> {
    const stored = await this.#captures.get(reference);
    using _held = this.#holds.carry(stored.id);
    using _base = this.#holds.carry(stored.manifest.base.snapshot);
    return await whileThere({ kind: "capture", ...stored }, () => this.#describeCapture(stored, publish));
  }

  async #describeCapture(stored: StoredCapture, publish: PublishOptions): Promise<Artifact> {
    const capture = await this.#leavingCapture(stored, publish);
    const unlike = (await this.#captures.verify(capture)).find(({ ok }) => !ok);
    if (unlike) throw corrupt(capture.id, unlike.name, unlike.reason ?? "is damaged");
    const { id, dir, manifest } = capture;
    const text =
      manifest === stored.manifest
        ? await readFile(join(dir, "manifest.json"), "utf8")
        : `${JSON.stringify(manifest, null, 2)}\n`;
    const about = { kind: "capture" as const, id, manifest, parts: manifest.parts };
    return { ...about, manifest: text, outline: outlineOf(about), base: manifest.base.snapshot };
  }

  async snapshot(reference: string, options: ExportOptions): Promise<Artifact> {
    const snapshot = await this.#leavingSnapshot(reference);
    return whileThere({ kind: "snapshot", ...snapshot }, () => this.#describeSnapshot(snapshot, options));
  }

  async #describeSnapshot(
    snapshot: StoredSnapshot,
    { onProgress, signal }: ExportOptions,
  ): Promise<Artifact> {
    const { id, dir, manifest } = snapshot;
    using _held = this.#holds.carry(id);
    const record = valueOrNull(await readRecord(join(dir, WIRE_FILE), wireKind));
    const known = record?.zstd === ZSTD ? record.parts : {};
    const parts: WirePart[] = [];
    for (const part of manifest.parts) {
      const wire = await this.#wireForm(snapshot, part, known[part.name], { onProgress, signal });
      known[part.name] = wire;
      parts.push({ name: wireName.parse(`${part.name}.zst`), rawBytes: part.sizeBytes, ...wire });
    }
    // Found out again when it is lost, or when there is no room for it.
    await writeRecord(
      join(dir, WIRE_FILE),
      wireKind,
      { zstd: ZSTD, parts: known },
      { survives: "daemon" },
    ).catch(() => {});
    await this.pruneCache({ dryRun: false });
    const text = await readFile(join(dir, "manifest.json"), "utf8");
    const about = { kind: "snapshot" as const, id, manifest, parts };
    return { ...about, manifest: text, outline: outlineOf(about), base: null };
  }

  /** A part as it travels. Throws `not-found` for one that does not. @param from bytes to leave out at its beginning */
  async capturePart(
    reference: string,
    name: string,
    from: number,
    publish: PublishOptions = {},
  ): Promise<AsyncIterable<Buffer>> {
    const stored = await this.#captures.get(reference);
    using _held = this.#holds.carry(stored.id);
    using _base = this.#holds.carry(stored.manifest.base.snapshot);
    const { id, manifest } = stored;
    // Opened here, so that what is removed meanwhile can still be read.
    const file = await whileThere({ kind: "capture", ...stored }, async () => {
      const leaving = await this.#leavingCapture(stored, publish);
      if (!leaving.manifest.parts.some((part) => part.name === name))
        throw new EngineError("not-found", `capture ${id} has no part ${name}`);
      return open(join(stored.dir, name), "r");
    });
    return this.#carried([id, manifest.base.snapshot], () =>
      file.createReadStream({ start: from, highWaterMark: 1 << 20 }),
    );
  }

  /** As `capturePart`; throws `snapshot-corrupt` in its course when the content is not what it was. */
  async snapshotPart(reference: string, name: string, from: number): Promise<AsyncIterable<Buffer>> {
    const snapshot = await this.#leavingSnapshot(reference);
    const found = snapshot.manifest.parts.find((part) => `${part.name}.zst` === name);
    if (!found) throw new EngineError("not-found", `snapshot ${snapshot.id} has no part ${name}`);
    // Opened here, so that what is pruned meanwhile can still be read.
    const kept = await open(this.#cache.path(found.sha256), "r").catch(() => null);
    return this.#carried([snapshot.id], () =>
      kept === null
        ? skip(
            compressed(join(snapshot.dir, found.name), () => {}),
            from,
          )
        : kept.createReadStream({ start: from, highWaterMark: 1 << 20 }),
    );
  }

  /** Removes compressed parts that are not worth their room. */
  async pruneCache(options: { dryRun: boolean }): Promise<Removed[]> {
    const parts = (await this.#snapshots.list()).flatMap(({ manifest }) => manifest.parts);
    return this.#cache.prune(new Set(parts.map(({ sha256 }) => sha256)), options);
  }

  /** A part as it travels: what is known of it, or what one compression tells. */
  async #wireForm(
    { id, dir }: StoredSnapshot,
    { name, sha256: digest, storedBytes }: Part,
    known: WireForm | undefined,
    { onProgress, signal }: ExportOptions,
  ): Promise<WireForm> {
    if (known !== undefined && (await this.#cache.verified(digest, known, signal)) !== null) return known;
    const corruptPart = (): EngineError =>
      new EngineError("snapshot-corrupt", `snapshot ${id}: ${name} does not match its digest`, {
        hint: `thaw snapshot verify ${id}; then thaw snapshot rm ${id} and build it again`,
      });
    const detail = ({ sizeBytes }: WireForm): string => mib(sizeBytes);
    return phase(onProgress, { subject: id, phase: `compress ${name}`, detail }, () =>
      this.#cache.fill({ path: join(dir, name), digest, storedBytes, corrupt: corruptPart }, signal),
    );
  }

  /** The one place that every export of a capture passes: of its description, and of each of its parts. Throws `secrets-found`. */
  async #leavingCapture(stored: StoredCapture, publish: PublishOptions): Promise<StoredCapture> {
    return this.#scans.publishable(stored, publish);
  }

  /** The one place that every export of a snapshot passes, also of one that a capture is based on. */
  async #leavingSnapshot(reference: string): Promise<StoredSnapshot> {
    return this.#snapshots.get(reference);
  }

  async *#carried(ids: readonly string[], open: () => AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
    using holds = new DisposableStack();
    for (const id of ids) holds.use(this.#holds.carry(id));
    yield* open();
  }
}

async function* skip(source: AsyncIterable<Buffer>, bytes: number): AsyncGenerator<Buffer, void> {
  let left = bytes;
  for await (const chunk of source) {
    if (left < chunk.length) yield chunk.subarray(left);
    left = Math.max(0, left - chunk.length);
  }
}
