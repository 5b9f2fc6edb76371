/** Removes captures that are over budget, and snapshots that nothing needs any more. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { Gate } from "../concurrency.ts";
import type { Config } from "../config.ts";
import { EngineError } from "../errors.ts";
import type { Holds } from "../holds.ts";
import type { SandboxRecord } from "../sandboxes/record.ts";
import type { SnapshotStore, StoredSnapshot } from "../snapshots/store.ts";
import type { UnreadableThing } from "../state/needs.ts";
import {
  type Budget,
  type Budgets,
  decideCaptures,
  decideSnapshots,
  type KeptCapture,
  type KeptSnapshot,
  type Removal,
} from "./retention.ts";
import type { CaptureStore, StoredCapture } from "./store.ts";

/** Between a snapshot's publishing and the tag, sandbox or capture that it was made for. */
const YOUNG_MS = 60_000;
const DEFAULT_MAX_MIB = 20 * 1024;

export interface PruneContext {
  captures: CaptureStore;
  snapshots: SnapshotStore;
  holds: Holds;
  /** null: they can't be read, so no capture goes. */
  budgets(): Budgets | null;
  sandboxes(): readonly SandboxRecord[];
  /** What can't be read, and what of the host that needs. */
  unreadable(): Promise<UnreadableThing[]>;
  /** Throws `conflict` for one that has come into use. */
  removeCapture(removal: Removal): Promise<void>;
  removeSnapshot(removal: Removal): Promise<void>;
}

export interface Pruned {
  captures: Removal[];
  snapshots: Removal[];
  /** Things that can't be read and may need any snapshot or capture, or say so: nothing that they may need went. */
  unreadable: string[];
}

export class Pruner {
  readonly #context: PruneContext;
  readonly #turn = new Gate(1);
  /** What could not be removed this time, and why. */
  #failed: string[] = [];

  constructor(context: PruneContext) {
    this.#context = context;
  }

  /** @returns what went, or with `dryRun` would go. */
  prune({ dryRun }: { dryRun: boolean }): Promise<Pruned> {
    return this.#turn.run(async () => {
      this.#failed = [];
      const captures = await this.#captures(dryRun);
      const snapshots = await this.#snapshots(captures, dryRun, () => true);
      const needs = await this.#context.unreadable();
      const unclear = needs.filter((one) => one.snapshots === null || one.captures === null);
      if (this.#failed.length > 0)
        throw new EngineError(
          "host-not-ready",
          `only ${captures.length + snapshots.length} could be removed`,
          {
            details: this.#failed,
            hint: "thaw doctor, then thaw prune again",
          },
        );
      const limits = this.#context.budgets() === null ? ["config.yaml"] : [];
      return { captures, snapshots, unreadable: [...limits, ...unclear.map(({ id }) => id)] };
    });
  }

  /** What a new capture makes too many or too much, and what only those were based on. */
  async afterCapture(): Promise<void> {
    await this.#turn.run(async () => {
      const all = await this.#context.captures.list();
      const removed = await this.#captures(false);
      if (removed.length === 0) return;
      const gone = new Set(removed.map(({ id }) => id));
      const bases = new Set(
        all.filter(({ id }) => gone.has(id)).map(({ manifest }) => manifest.base.snapshot),
      );
      await this.#snapshots(removed, false, (id) => bases.has(id));
    });
  }

  async #captures(dryRun: boolean): Promise<Removal[]> {
    const { captures } = this.#context;
    const budgets = this.#context.budgets();
    if (budgets === null) return [];
    const [all, used, unreadable] = await Promise.all([
      captures.list(),
      this.#usedCaptures(),
      this.#context.unreadable(),
    ]);
    if (unreadable.some((one) => one.captures === null)) return [];
    const needed = new Set(unreadable.flatMap((one) => [...(one.captures ?? [])]));
    const kept = await Promise.all(
      all.map(async (capture) => {
        const { pinned, maxAgeMs } = await captures.notes(capture.id);
        const bound = pinned || used.has(capture.id) || needed.has(capture.id);
        return describeCapture(capture, { bound, maxAgeMs });
      }),
    );
    const removals = decideCaptures(kept, budgets, Date.now());
    return dryRun ? removals : this.#remove(removals, (removal) => this.#context.removeCapture(removal));
  }

  async #snapshots(
    without: readonly Removal[],
    dryRun: boolean,
    fits: (id: string) => boolean,
  ): Promise<Removal[]> {
    const { captures, snapshots, holds, sandboxes } = this.#context;
    const gone = new Set(without.map(({ id }) => id));
    const [all, tags, everyCapture] = await Promise.all([
      snapshots.list(),
      snapshots.tags(),
      captures.list(),
    ]);
    // After the lists, which find what can't be read.
    const unreadable = await this.#context.unreadable();
    if (unreadable.some((one) => one.snapshots === null)) return [];
    const left = everyCapture.filter(({ id }) => !gone.has(id));
    const used = new Set([
      ...tags.values(),
      ...sandboxes().flatMap(({ snapshot, ownSnapshot }) => [snapshot, ownSnapshot]),
      ...left.map(({ manifest }) => manifest.base.snapshot),
      ...unreadable.flatMap((one) => [...(one.snapshots ?? [])]),
    ]);
    const now = Date.now();
    const kept = all.map(({ id, manifest }): KeptSnapshot => {
      const young = now - Date.parse(manifest.createdAt) < YOUNG_MS;
      return {
        id,
        bound: young || used.has(id) || holds.has(id),
        madeOf: manifest.variantOf ?? manifest.bootedFrom,
      };
    });
    const unneeded = decideSnapshots(kept, new Set(left.map(({ id }) => id))).filter(fits);
    const removals = await Promise.all(
      all
        .filter(({ id }) => unneeded.includes(id))
        .map(async (snapshot) => ({
          id: snapshot.id,
          bytes: await ownBytes(snapshot),
          reason: "no tag, sandbox or capture needs it",
        })),
    );
    return dryRun ? removals : this.#remove(removals, (removal) => this.#context.removeSnapshot(removal));
  }

  /** @returns those that went. One that has come into use meanwhile stays; what the host does not let go does not hold up the others. */
  async #remove(
    removals: readonly Removal[],
    remove: (removal: Removal) => Promise<void>,
  ): Promise<Removal[]> {
    const removed: Removal[] = [];
    for (const removal of removals) {
      if (this.#context.holds.has(removal.id)) continue;
      try {
        await remove(removal);
        removed.push(removal);
      } catch (error) {
        const known = error instanceof EngineError && ["conflict", "not-found"].includes(error.code);
        if (!known) this.#failed.push(`${removal.id}: ${(error as Error).message}`);
      }
    }
    return removed;
  }

  /** Replayed now, directly or from a snapshot that was made of its disk, or held. */
  async #usedCaptures(): Promise<{ has(id: string): boolean }> {
    const { sandboxes, snapshots, holds } = this.#context;
    const records = sandboxes();
    const replayed = records.map(({ replay }) => replay?.capture);
    const thawed = new Set(records.map(({ snapshot }) => snapshot));
    const booted = (await snapshots.list()).filter(({ id }) => thawed.has(id) || holds.has(id));
    const used = new Set([...replayed, ...booted.map(({ manifest }) => manifest.bootedFrom)]);
    return { has: (id) => used.has(id) || holds.has(id) };
  }
}

/** The configuration's budgets. A host that has none keeps 20 GiB. */
export function budgetsOf({ captures }: Config): Budgets {
  const budget = ({ maxCount, maxBytes, maxAge }: Config["captures"]["perRepository"]): Budget => ({
    maxCount,
    maxBytes: maxBytes === undefined ? undefined : maxBytes * 2 ** 20,
    maxAgeMs: maxAge,
  });
  const { perRepository, ...host } = captures;
  return {
    host: budget({ ...host, maxBytes: host.maxBytes ?? DEFAULT_MAX_MIB }),
    perRepository: budget(perRepository),
  };
}

function describeCapture(
  { id, manifest, file }: StoredCapture,
  noted: Pick<KeptCapture, "bound" | "maxAgeMs">,
): KeptCapture {
  return {
    id,
    createdAtMs: Date.parse(manifest.createdAt),
    bytes: manifest.parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    repository: file.ci?.repository ?? null,
    fingerprint: file.fingerprint,
    ...noted,
  };
}

/** On disk, without what it shares with others by hard link. */
async function ownBytes({ dir, manifest }: StoredSnapshot): Promise<number> {
  const sizes = await Promise.all(
    manifest.parts.map(async ({ name }) => {
      const found = await stat(join(dir, name)).catch(() => null);
      return found?.nlink === 1 ? found.blocks * 512 : 0;
    }),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
