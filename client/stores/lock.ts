/** A lock file for writers of one folder, on one host or on several that share it. Held for moments. */
import { readFileSync, readlinkSync } from "node:fs";
import { mkdir, readFile, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { ThawError } from "../errors.ts";

const WAIT_MS = 50;
const DEADLINE_MS = 60_000;
/** A lock of another host is taken for left behind at this age: nobody holds one for longer than it takes to write a small file. */
const FOREIGN_AGE_MS = 30_000;

/** Runs `work` while nobody else does who locks that file. @throws ThawError `conflict` after a minute. */
export async function withLock<T>(path: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const holder = describeHolder();
  const until = performance.now() + DEADLINE_MS;
  while (!(await take(path, holder))) {
    signal.throwIfAborted();
    if (performance.now() > until)
      throw new ThawError("conflict", `${path} has been locked for a minute`, {
        hint: `if no other thaw command is writing there: rm ${path}`,
      });
    await removeAbandoned(path);
    await sleep(WAIT_MS, undefined, { signal });
  }
  try {
    return await work();
  } finally {
    if ((await readFile(path, "utf8").catch(() => "")) === holder) await rm(path, { force: true });
  }
}

async function take(path: string, holder: string): Promise<boolean> {
  try {
    await writeFile(path, holder, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Only one at a time looks and removes, so that nobody removes a lock that was taken since. */
async function removeAbandoned(path: string): Promise<void> {
  const guard = `${path}.check`;
  try {
    await mkdir(guard);
  } catch {
    if (await isOlder(guard, FOREIGN_AGE_MS)) await rmdir(guard).catch(() => {});
    return;
  }
  try {
    const holder = await readFile(path, "utf8").catch(() => null);
    if (holder === null) return;
    const [place, pid, start] = holder.split(" ");
    const dead = place === thisPlace() ? startOf(Number(pid)) !== start : await isOlder(path, FOREIGN_AGE_MS);
    if (dead) await rm(path, { force: true });
  } finally {
    await rmdir(guard).catch(() => {});
  }
}

async function isOlder(path: string, ageMs: number): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  return found !== null && Date.now() - found.mtimeMs > ageMs;
}

function describeHolder(): string {
  return `${thisPlace()} ${process.pid} ${startOf(process.pid)} ${Math.random()}`;
}

/** Where a pid means the same process: this boot of this host, this namespace. */
function thisPlace(): string {
  try {
    return `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()}/${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    return hostname();
  }
}

/** When a process began, by the kernel; undefined when there is none. */
function startOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}
