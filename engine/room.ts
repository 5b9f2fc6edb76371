/** What a host has room for: machines (admission.ts) and disk. */
import { statfs } from "node:fs/promises";
import type { DiskUse } from "../api/disk.ts";
import type { Probe, Runner } from "../runners/runner.ts";
import { Admission, defaultLimits, type Limits } from "./admission.ts";
import type { Config } from "./config.ts";
import { type DiskLimits, DiskRoom, type Grower } from "./disk-room.ts";
import { EngineError } from "./errors.ts";
import { readHostMemory } from "./host-memory.ts";
import { describe, roomMib } from "./memory-claims.ts";

/** Below this a thaw or a build is refused: a full disk pauses every guest of the host. */
const MIN_FREE_MIB = 256;
/** From this many times that on, `doctor` warns. */
const WARN_AT = 4;

export class Room {
  readonly admission: Admission;
  readonly disk: DiskRoom;
  readonly #root: string;
  #minFreeMib: number;

  /** @param root the state folder: its disk is the one that counts. @param growers the sandboxes there are */
  constructor(
    root: string,
    { config, runner }: { config: Config; runner: Runner },
    growers: () => readonly Grower[],
  ) {
    this.#root = root;
    this.#minFreeMib = minFreeOf(config);
    this.admission = new Admission(limitsOf(config.limits), runner.memory);
    this.disk = new DiskRoom(root, diskLimitsOf(config), growers);
  }

  /** From now on these limits count. */
  apply(config: Config): void {
    this.#minFreeMib = minFreeOf(config);
    this.admission.limits = limitsOf(config.limits);
    this.disk.limits = diskLimitsOf(config);
    void this.disk.freed();
  }

  /** Throws `no-space` with the figures. @param bytes that are about to be written */
  async needDisk(bytes = 0): Promise<void> {
    const free = await this.#freeMib();
    const needed = this.#minFreeMib + Math.ceil(bytes / 2 ** 20);
    if (free >= needed) return;
    throw new EngineError("no-space", `${free} MB free under ${this.#root}, ${needed} MB needed`, {
      hint: "thaw prune --dry-run; thaw snapshot ls; thaw snapshot rm SNAPSHOT",
    });
  }

  /** What is given to sandboxes, of what; a warning before the disk's limit is reached. */
  async probe(): Promise<Probe> {
    const { limits, figures, claims } = this.admission;
    const free = await this.#freeMib();
    const memory = `${roomMib(claims, limits)} MiB of memory can be given out (${describe(claims, limits)})`;
    const room = `${figures.sandboxes} of ${limits.sandboxes} sandboxes, ${memory}`;
    const line = figures.waiting === 0 ? "" : `, ${figures.waiting} wait in line`;
    const detail = `${room}${line}; ${free} MB of disk free, at ${this.#minFreeMib} MB nothing is made any more`;
    if (free >= WARN_AT * this.#minFreeMib) return { name: "limits", state: "ok", fatal: false, detail };
    return {
      ...{ name: "limits", state: "warning", fatal: false, detail },
      hint: "thaw prune --dry-run; thaw snapshot ls; thaw snapshot rm SNAPSHOT",
    };
  }

  /** Of the disk of the state folder. */
  async diskFigures(): Promise<DiskUse["disk"]> {
    const { blocks, bavail, bsize } = await statfs(this.#root);
    return {
      totalBytes: blocks * bsize,
      freeBytes: bavail * bsize,
      reserveBytes: this.#minFreeMib * 2 ** 20,
    };
  }

  async #freeMib(): Promise<number> {
    return Math.floor((await this.diskFigures()).freeBytes / 2 ** 20);
  }
}

function minFreeOf({ limits }: Config): number {
  return limits.freeDisk ?? MIN_FREE_MIB;
}

function diskLimitsOf(config: Config): DiskLimits {
  const { disk, sandbox } = config.limits;
  const bytes = (mib: number | undefined) => (mib === undefined ? undefined : mib * 2 ** 20);
  return {
    reserveBytes: minFreeOf(config) * 2 ** 20,
    ...{ hostBytes: bytes(disk), sandboxBytes: bytes(sandbox.disk) },
  };
}

/** The configuration's limits; what it leaves out follows from the host's size. */
function limitsOf(limits: Config["limits"]): Limits {
  const derived = defaultLimits(readHostMemory().totalMib);
  return {
    sandboxes: limits.sandboxes ?? derived.sandboxes,
    memoryMib: limits.memory ?? derived.memoryMib,
    reserveMib: limits.reserveMemory ?? derived.reserveMib,
    overcommit: limits.overcommit ?? derived.overcommit,
    perSandbox: {
      cpus: limits.sandbox.cpus ?? derived.perSandbox.cpus,
      memoryMib: limits.sandbox.memory ?? derived.perSandbox.memoryMib,
    },
  };
}
