/** What leaves this host: every export of a snapshot or a capture begins here, whatever store it goes to. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Scans } from "../captures/scans.ts";
import { type CaptureStore, corrupt, type StoredCapture } from "../captures/store.ts";
import { EngineError } from "../errors.ts";
import { readRecord, writeWhole } from "../files.ts";
import { mib, type OnProgress, phase } from "../progress.ts";
import type { SnapshotStore, StoredSnapshot } from "../snapshots/store.ts";
import { compressed } from "./sparse.ts";
import { type Artifact, outlineOf, type WirePart, wireName } from "./wire.ts";

/** Beside a snapshot, no part of it: what its parts are when they travel, so that each is compressed once to find out. */
const WIRE_FILE = "wire.json";
const wireRecord = z.record(z.string(), z.object({ sizeBytes: z.number(), sha256: z.string() }));

export interface ExportOptions {
  onProgress: OnProgress;
  signal: AbortSignal;
}

export class Exports {
  readonly #snapshots: SnapshotStore;
  readonly #captures: CaptureStore;
  readonly #scans: Scans;

  constructor(snapshots: SnapshotStore, captures: CaptureStore, scans: Scans) {
    this.#snapshots = snapshots;
    this.#captures = captures;
    this.#scans = scans;
  }

  async capture(reference: string): Promise<Artifact> {
    const capture = await this.#leavingCapture(reference);
    const unlike = (await this.#captures.verify(capture)).find(({ ok }) => !ok);
    if (unlike) throw corrupt(capture.id, unlike.name, unlike.reason ?? "is damaged");
    const { id, dir, manifest } = capture;
    const text = await readFile(join(dir, "manifest.json"), "utf8");
    const about = { kind: "capture" as const, id, manifest, parts: manifest.parts };
    return { ...about, manifest: text, outline: outlineOf(about), base: manifest.base.snapshot };
  }

  async snapshot(reference: string, { onProgress, signal }: ExportOptions): Promise<Artifact> {
    const snapshot = await this.#leavingSnapshot(reference);
    const { id, dir, manifest } = snapshot;
    const known = (await readRecord(join(dir, WIRE_FILE), wireRecord)) ?? {};
    const parts: WirePart[] = [];
    for (const { name, sizeBytes: rawBytes } of manifest.parts) {
      const wire =
        known[name] ??
        (await phase(
          onProgress,
          {
            subject: id,
            phase: `compress ${name}`,
            detail: ({ sizeBytes }: { sizeBytes: number }) => mib(sizeBytes),
          },
          () => measure(snapshot, name, signal),
        ));
      known[name] = wire;
      parts.push({ name: wireName.parse(`${name}.zst`), rawBytes, ...wire });
    }
    await writeWhole(join(dir, WIRE_FILE), JSON.stringify(known));
    const text = await readFile(join(dir, "manifest.json"), "utf8");
    const about = { kind: "snapshot" as const, id, manifest, parts };
    return { ...about, manifest: text, outline: outlineOf(about), base: null };
  }

  /** A part as it travels. @param from bytes to leave out at its beginning */
  async capturePart(reference: string, name: string, from: number): Promise<AsyncIterable<Buffer>> {
    const { dir, id, manifest } = await this.#leavingCapture(reference);
    const found = manifest.parts.find((part) => part.name === name);
    if (!found) throw new EngineError("not-found", `capture ${id} has no part ${name}`);
    return createReadStream(join(dir, found.name), { start: from, highWaterMark: 1 << 20 });
  }

  /** As `capturePart`; throws `snapshot-corrupt` in its course when the content is not what it was. */
  async snapshotPart(reference: string, name: string, from: number): Promise<AsyncIterable<Buffer>> {
    const snapshot = await this.#leavingSnapshot(reference);
    const found = snapshot.manifest.parts.find((part) => `${part.name}.zst` === name);
    if (!found) throw new EngineError("not-found", `snapshot ${snapshot.id} has no part ${name}`);
    return skip(
      compressed(join(snapshot.dir, found.name), () => {}),
      from,
    );
  }

  /** The one place that every export of a capture passes: of its description, and of each of its parts. Throws `secrets-found`. */
  async #leavingCapture(reference: string): Promise<StoredCapture> {
    return this.#scans.publishable(await this.#captures.get(reference));
  }

  /** The one place that every export of a snapshot passes, also of one that a capture is based on. */
  async #leavingSnapshot(reference: string): Promise<StoredSnapshot> {
    return this.#snapshots.get(reference);
  }
}

/** Compresses a part once to learn what it will be. Throws `snapshot-corrupt`. */
async function measure(
  { id, dir, manifest }: StoredSnapshot,
  name: string,
  signal: AbortSignal,
): Promise<{ sizeBytes: number; sha256: string }> {
  const raw = createHash("sha256");
  const wire = createHash("sha256");
  let sizeBytes = 0;
  for await (const chunk of compressed(join(dir, name), (bytes) => raw.update(bytes), signal)) {
    wire.update(chunk);
    sizeBytes += chunk.length;
  }
  if (raw.digest("hex") !== manifest.parts.find((part) => part.name === name)?.sha256)
    throw new EngineError("snapshot-corrupt", `snapshot ${id}: ${name} does not match its digest`, {
      hint: `thaw snapshot verify ${id}; then thaw snapshot rm ${id} and build it again`,
    });
  return { sizeBytes, sha256: wire.digest("hex") };
}

async function* skip(source: AsyncIterable<Buffer>, bytes: number): AsyncGenerator<Buffer, void> {
  let left = bytes;
  for await (const chunk of source) {
    if (left < chunk.length) yield chunk.subarray(left);
    left = Math.max(0, left - chunk.length);
  }
}
