/**
 * Memory of hot snapshots, for a QEMU that cannot map a file privately unless it may write it (before 8.2). A helper copies the
 * snapshot's memory into a memfd and seals it; this process keeps a descriptor and hands it to each clone, which maps it privately: no
 * clone can change it, and the file itself never enters the jail. Costs its non-zero bytes of RAM once per hot snapshot.
 */
import { spawn } from "node:child_process";
import { close, fstat, open } from "node:fs";
import { promisify } from "node:util";
import { unprotect } from "../../host/oom-score.ts";
import { paced } from "../../host/pace.ts";
import { RunnerError } from "../runner.ts";

const closeFd = promisify(close);
const SEAL_TIMEOUT_MS = 60_000;

export interface HotMemoryOptions {
  /** The `thaw-seal` helper. */
  sealPath: string;
  /** Unused copies beyond this many bytes in all are let go, the longest unused first. */
  limitBytes: number;
}

/** A copy in use; `release` it when the clone has started (its own mapping keeps the memory). */
export interface Lease {
  fd: number;
  release(): void;
}

interface Entry {
  fd: Promise<number>;
  bytes: number;
  users: number;
}

export class HotMemory {
  readonly #options: HotMemoryOptions;
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry>();

  constructor(options: HotMemoryOptions) {
    this.#options = options;
  }

  get sealPath(): string {
    return this.#options.sealPath;
  }

  /** Bytes of RAM held. */
  get heldBytes(): number {
    let sum = 0;
    for (const entry of this.#entries.values()) sum += entry.bytes;
    return sum;
  }

  /**
   * The copy of snapshot `id`'s memory, filled from `file` on first use; callers that come meanwhile wait for the same copy.
   * @param pages a difference's, laid over it
   */
  async acquire(id: string, file: string, pages?: string): Promise<Lease> {
    const entry = this.#entries.get(id) ?? {
      fd: sealedCopy(this.#options.sealPath, pages === undefined ? [file] : [file, pages]),
      bytes: 0,
      users: 0,
    };
    this.#entries.delete(id);
    this.#entries.set(id, entry);
    entry.users += 1;
    try {
      const fd = await entry.fd;
      if (entry.bytes === 0) entry.bytes = (await promisify(fstat)(fd)).blocks * 512;
      this.#trim();
      let released = false;
      const release = (): void => {
        if (released) return;
        released = true;
        entry.users -= 1;
        this.#trim();
      };
      return { fd, release };
    } catch (error) {
      entry.users -= 1;
      if (this.#entries.get(id) === entry) this.#entries.delete(id);
      throw error;
    }
  }

  /** Whether a copy of that snapshot's memory is there, or is being made. */
  has(id: string): boolean {
    return this.#entries.has(id);
  }

  /** Lets go of every copy that no clone is being made of. @returns bytes of RAM let go */
  dropUnused(): number {
    const before = this.heldBytes;
    for (const [id, entry] of [...this.#entries]) if (entry.users === 0) this.#drop(id, entry);
    return before - this.heldBytes;
  }

  /** Lets go of a snapshot that was removed; clones that run keep their memory. */
  forget(id: string): void {
    const entry = this.#entries.get(id);
    if (entry !== undefined && entry.users === 0) this.#drop(id, entry);
  }

  #trim(): void {
    for (const [id, entry] of [...this.#entries]) {
      if (this.heldBytes <= this.#options.limitBytes) return;
      if (entry.users === 0) this.#drop(id, entry);
    }
  }

  #drop(id: string, entry: Entry): void {
    this.#entries.delete(id);
    void entry.fd.then(closeFd).catch(() => {});
  }
}

/** A read-only descriptor of a sealed memfd with a memory file's bytes and a difference's over them. The helper ends before this resolves. */
async function sealedCopy(sealPath: string, files: readonly [string, ...string[]]): Promise<number> {
  const helper = spawn(sealPath, files, { stdio: ["pipe", "pipe", "pipe"], env: {}, cwd: "/" });
  unprotect(helper);
  const ended = new Promise<void>((resolve) => {
    helper.once("error", () => resolve());
    helper.once("close", () => resolve());
  });
  try {
    const fd = await readyFd(helper, files.join(" and "));
    return await promisify(open)(`/proc/${helper.pid}/fd/${fd}`, "r");
  } finally {
    helper.stdin.destroy();
    helper.kill("SIGKILL");
    await ended;
  }
}

/** Waits for the line `ready <fd>`. */
function readyFd(helper: ReturnType<typeof spawn>, file: string): Promise<number> {
  return new Promise((resolve, reject) => {
    let out = "";
    let err = "";
    const fail = (why: string, code: "start-failed" | "timeout" = "start-failed"): void => {
      clearTimeout(timer);
      reject(new RunnerError(code, `sealing the memory of ${file} failed: ${why}`));
    };
    const waitMs = paced(SEAL_TIMEOUT_MS);
    const timer = setTimeout(() => fail(`not done within ${waitMs / 1000} s`, "timeout"), waitMs);
    helper.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") return fail(error.message);
      clearTimeout(timer);
      reject(
        new RunnerError("missing-tool", `the helper ${helper.spawnfile} is missing`, {
          hint: "npm run build",
        }),
      );
    });
    helper.once("close", () => fail(err.trim() || "the helper ended"));
    helper.stderr?.on("data", (chunk: Buffer) => {
      err = (err + chunk.toString("utf8")).slice(-1_000);
    });
    helper.stdout?.on("data", (chunk: Buffer) => {
      out = (out + chunk.toString("latin1")).slice(0, 100);
      const fd = /^ready (\d+)\n/.exec(out)?.[1];
      if (fd === undefined) return;
      clearTimeout(timer);
      resolve(Number(fd));
    });
  });
}
