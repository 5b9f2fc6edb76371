/**
 * Room on the disk of the state folder, shared by the sandboxes that run. Each may write a stretch at a time; at its end the runner tells, and it
 * gets another one or is paused. So the sandbox that grows is the one that stops, and the others go on out of what the host keeps free.
 */
import { readdir, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { Gate } from "./concurrency.ts";

const MIB = 2 ** 20;
/** A guest writes this much within the time that a daemon needs to answer an event, at least. */
const STRETCH = { leastBytes: 4 * MIB, mostBytes: 64 * MIB };
/** While something is held and nothing of ours frees room, the disk is looked at this often. */
const LOOK_MS = 3_000;

/** A sandbox, as far as its disk goes. */
export interface Grower {
  readonly id: string;
  /** Its folder. */
  readonly dir: string;
  readonly record: { name: string; state: string; heldBy: string | null };
  watchDiskGrowth(bytes: number): Promise<void>;
  /** Pauses it until `release`. */
  hold(by: "disk-room" | "disk-limit", reason: string): Promise<void>;
  release(): Promise<void>;
  /** Writes its record if that failed for want of room. */
  persistLate(): Promise<void>;
}

export interface DiskLimits {
  /** Kept free for what goes on already. Half of it may be written by sandboxes that grow little, when there is nothing else. */
  reserveBytes: number;
  /** Of all sandboxes' folders together, and of each; undefined: no limit but the disk's. */
  hostBytes?: number | undefined;
  sandboxBytes?: number | undefined;
}

export interface DiskState {
  freeBytes: number;
  /** Of this sandbox, and of all. */
  ownBytes: number;
  allBytes: number;
  /** Taken by this sandbox since there was less than the reserve. */
  takenBytes: number;
  running: number;
}

export type Grant = { bytes: number } | { held: "disk-room" | "disk-limit"; reason: string };

/** What a sandbox that runs may write next. Pure. */
export function grantOf(state: DiskState, { reserveBytes, hostBytes, sandboxBytes }: DiskLimits): Grant {
  const { freeBytes, ownBytes, allBytes, takenBytes } = state;
  const running = Math.max(1, state.running);
  const own = sandboxBytes === undefined ? Number.POSITIVE_INFINITY : sandboxBytes - ownBytes;
  if (own <= 0)
    return {
      held: "disk-limit",
      reason: `its disk has ${mib(ownBytes)}, limits.sandbox.disk is ${mib(sandboxBytes ?? 0)}`,
    };
  const all = hostBytes === undefined ? Number.POSITIVE_INFINITY : hostBytes - allBytes;
  if (all <= 0)
    return {
      held: "disk-limit",
      reason: `the disks of all sandboxes have ${mib(allBytes)}, limits.disk is ${mib(hostBytes ?? 0)}`,
    };
  const spare = freeBytes - reserveBytes;
  const share = reserveBytes / 2 / running;
  if (spare < STRETCH.leastBytes && (takenBytes >= share || freeBytes < reserveBytes / 4))
    return {
      held: "disk-room",
      reason: `${mib(freeBytes)} are free on the host's disk, ${mib(reserveBytes)} are reserved`,
    };
  // All of them may come to the end of their stretches at once.
  const bytes = Math.min(STRETCH.mostBytes, Math.max(STRETCH.leastBytes, spare / (2 * running)), all);
  return { bytes: Math.max(1, Math.floor(Math.min(bytes, own))) };
}

export class DiskRoom {
  readonly #root: string;
  /** Other ones count from the next stretch on. */
  limits: DiskLimits;
  readonly #growers: () => readonly Grower[];
  readonly #turn = new Gate(1);
  /** Bytes of each sandbox's folder, as last counted. */
  readonly #owned = new Map<string, number>();
  readonly #taken = new Map<string, number>();
  /** Free bytes when stretches were last given to all. */
  #freeAtGrant = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** @param root the state folder @param growers the sandboxes there are */
  constructor(root: string, limits: DiskLimits, growers: () => readonly Grower[]) {
    this.#root = root;
    this.limits = limits;
    this.#growers = growers;
  }

  /** Bytes of all sandboxes' folders, as last counted. */
  get ownedBytes(): number {
    let sum = 0;
    for (const bytes of this.#owned.values()) sum += bytes;
    return sum;
  }

  /** It runs, or it has written its stretch: gives it another one, or holds it. Never rejects. */
  grew(sandbox: Grower): Promise<void> {
    return this.#inTurn(async () => {
      if (sandbox.record.state !== "running") return;
      const before = this.#owned.get(sandbox.id);
      const freeBytes = await this.#count(sandbox);
      const grown = Math.max(0, (this.#owned.get(sandbox.id) ?? 0) - (before ?? Number.POSITIVE_INFINITY));
      if (freeBytes >= this.limits.reserveBytes) this.#taken.clear();
      else this.#taken.set(sandbox.id, (this.#taken.get(sandbox.id) ?? 0) + grown);
      await this.#grant(sandbox, freeBytes);
      if (freeBytes > this.#freeAtGrant / 2) return;
      // Stretches that were given when there was more are too long now.
      this.#freeAtGrant = freeBytes;
      for (const other of this.#running()) if (other !== sandbox) await this.#grant(other, freeBytes);
    });
  }

  /** A paused sandbox of an earlier daemon, or one that a full disk stopped: it goes on when there is room. */
  held(): void {
    if (this.#closed) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.freed();
    }, LOOK_MS);
    this.#timer.unref();
  }

  /** Something was removed: lets those go on that there is room for now. Never rejects. */
  freed(): Promise<void> {
    return this.#inTurn(async () => {
      this.#freeAtGrant = Number.POSITIVE_INFINITY;
      for (const sandbox of this.#growers()) await sandbox.persistLate().catch(() => {});
      for (const sandbox of this.#growers()) {
        if (!isHeld(sandbox)) continue;
        const freeBytes = await this.#count(sandbox);
        const { reserveBytes } = this.limits;
        const isFull = sandbox.record.heldBy === "disk-full" && freeBytes >= reserveBytes / 2;
        // Not at the very line, where it would be held again at once.
        const spare = freeBytes >= reserveBytes + 2 * STRETCH.leastBytes;
        if (!isFull && !spare) continue;
        if ("held" in grantOf({ ...this.#state(sandbox, freeBytes), takenBytes: 0 }, this.limits)) continue;
        this.#taken.delete(sandbox.id);
        await sandbox.release().catch(() => {});
      }
      if (this.#growers().some(isHeld)) this.held();
    });
  }

  forget(id: string): void {
    this.#owned.delete(id);
    this.#taken.delete(id);
    void this.freed();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #grant(sandbox: Grower, freeBytes: number): Promise<void> {
    const grant = grantOf(this.#state(sandbox, freeBytes), this.limits);
    if ("bytes" in grant) return sandbox.watchDiskGrowth(grant.bytes);
    await sandbox.hold(grant.held, grant.reason);
    this.held();
  }

  #state(sandbox: Grower, freeBytes: number): DiskState {
    return {
      freeBytes,
      ownBytes: this.#owned.get(sandbox.id) ?? 0,
      allBytes: this.ownedBytes,
      takenBytes: this.#taken.get(sandbox.id) ?? 0,
      running: this.#running().length,
    };
  }

  #running(): Grower[] {
    return this.#growers().filter(({ record }) => record.state === "running");
  }

  /** @returns free bytes of the disk */
  async #count({ id, dir }: Grower): Promise<number> {
    this.#owned.set(id, await bytesOf(dir));
    const { bavail, bsize } = await statfs(this.#root);
    return bavail * bsize;
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return this.#turn.run(work).catch(() => {});
  }
}

function isHeld({ record }: Grower): boolean {
  return record.state === "paused" && ["disk-full", "disk-room", "disk-limit"].includes(record.heldBy ?? "");
}

/** What a folder takes on the disk. Files that others have by another name (layers of snapshots) are not counted. */
async function bytesOf(dir: string): Promise<number> {
  const names = await readdir(dir, { withFileTypes: true }).catch(() => []);
  const sizes = await Promise.all(
    names.map(async (entry) => {
      const path = join(dir, entry.name);
      if (entry.isDirectory()) return bytesOf(path);
      const found = await stat(path).catch(() => null);
      return found?.isFile() && found.nlink === 1 ? found.blocks * 512 : 0;
    }),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

function mib(bytes: number): string {
  return `${Math.floor(bytes / MIB)} MB`;
}
