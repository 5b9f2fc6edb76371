/**
 * Parts of snapshots as they travel, compressed once: `$THAW_HOME/wire/DIGEST.zst`, DIGEST being that of the content. Layers that snapshots
 * share are compressed once for all of them. Nothing depends on it: a part that is not in it is compressed on the way.
 */
import { createHash } from "node:crypto";
import { open, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { sha256File } from "../../durable/digest.ts";
import type { EngineError } from "../errors.ts";
import { clearUnfinished, completeEntries } from "../state/entries.ts";
import { compressed } from "./sparse.ts";

/** More than this is not kept; those that were not used for longest go first. */
const MAX_BYTES = 4 * 2 ** 30;
const UNUSED_MS = 7 * 24 * 3600 * 1000;
const SUFFIX = ".zst";

export interface WireForm {
  sizeBytes: number;
  sha256: string;
}

export interface Removed {
  id: string;
  bytes: number;
  reason: string;
}

export class WireCache {
  readonly #dir: string;
  readonly #needDisk: (bytes: number) => Promise<void>;
  readonly #filling = new Map<string, Promise<WireForm>>();

  /** @param needDisk throws `no-space` when that many bytes can't be written */
  constructor(dir: string, needDisk: (bytes: number) => Promise<void>) {
    this.#dir = dir;
    this.#needDisk = needDisk;
  }

  /** Removes what a crash left half made. */
  recover(): Promise<void> {
    return clearUnfinished(this.#dir);
  }

  path(digest: string): string {
    return join(this.#dir, `${digest}${SUFFIX}`);
  }

  /** What is there of it, read whole; null when it is not there, or is not the `expected` (it is removed then). */
  async verified(digest: string, expected: WireForm, signal: AbortSignal): Promise<WireForm | null> {
    const path = this.path(digest);
    const found = await stat(path).catch(() => null);
    if (found === null) return null;
    if (found.size === expected.sizeBytes && (await sha256File(path, signal)) === expected.sha256) {
      const now = new Date();
      await utimes(path, now, now).catch(() => {});
      return expected;
    }
    await rm(path, { force: true });
    return null;
  }

  /**
   * Compresses a part, and keeps the result where the disk has room. Two that ask at once wait for one compression.
   * @param part `path`, `digest` and `storedBytes` of its content. @throws EngineError `snapshot-corrupt` when the content has another digest
   */
  async fill(
    part: { path: string; digest: string; storedBytes: number; corrupt: () => EngineError },
    signal: AbortSignal,
  ): Promise<WireForm> {
    const running = this.#filling.get(part.digest);
    if (running !== undefined) {
      const form = await running.catch(() => null);
      if (form !== null) return form;
      signal.throwIfAborted();
    }
    const work = this.#compress(part, signal);
    this.#filling.set(part.digest, work);
    try {
      return await work;
    } finally {
      if (this.#filling.get(part.digest) === work) this.#filling.delete(part.digest);
    }
  }

  /** Removes what no snapshot has any more, what nobody used for a week, and what is too much. @param inUse digests of all parts of snapshots */
  async prune(inUse: ReadonlySet<string>, { dryRun }: { dryRun: boolean }): Promise<Removed[]> {
    const entries = await this.#entries();
    const removed: Removed[] = [];
    let kept = entries.reduce((sum, { bytes }) => sum + bytes, 0);
    for (const { digest, bytes, usedMs } of entries) {
      const reason = !inUse.has(digest)
        ? "a compressed part of a snapshot that is gone"
        : Date.now() - usedMs > UNUSED_MS
          ? "a compressed part that was not sent for a week"
          : kept > MAX_BYTES
            ? "more compressed parts than are kept"
            : null;
      if (reason === null) continue;
      if (!dryRun) await rm(this.path(digest), { force: true });
      kept -= bytes;
      removed.push({ id: digest.slice(0, 16), bytes, reason });
    }
    return removed;
  }

  async #compress(
    {
      path,
      digest,
      storedBytes,
      corrupt,
    }: { path: string; digest: string; storedBytes: number; corrupt: () => EngineError },
    signal: AbortSignal,
  ): Promise<WireForm> {
    const hasRoom = await this.#needDisk(storedBytes).then(
      () => true,
      () => false,
    );
    const beside = join(this.#dir, `.${digest}.${process.pid}.${performance.now()}`);
    const file = hasRoom ? await open(beside, "wx", 0o600) : null;
    try {
      const raw = createHash("sha256");
      const wire = createHash("sha256");
      let sizeBytes = 0;
      for await (const chunk of compressed(path, (bytes) => raw.update(bytes), signal)) {
        wire.update(chunk);
        sizeBytes += chunk.length;
        await file?.writeFile(chunk);
      }
      if (raw.digest("hex") !== digest) throw corrupt();
      if (file !== null) {
        await file.sync();
        await rename(beside, this.path(digest));
      }
      return { sizeBytes, sha256: wire.digest("hex") };
    } finally {
      await file?.close();
      await rm(beside, { force: true });
    }
  }

  /** Least recently used first. */
  async #entries(): Promise<{ digest: string; bytes: number; usedMs: number }[]> {
    const found = await Promise.all(
      (await completeEntries(this.#dir)).map(async (name) => {
        const one = await stat(join(this.#dir, name)).catch(() => null);
        return one === null
          ? []
          : [{ digest: name.slice(0, -SUFFIX.length), bytes: one.blocks * 512, usedMs: one.mtimeMs }];
      }),
    );
    return found.flat().sort((a, b) => a.usedMs - b.usedMs);
  }
}
