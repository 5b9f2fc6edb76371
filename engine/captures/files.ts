/** The files of a capture, read without booting anything. What was opened for one question is kept a while for the next. */
import type { DiskEntry, DiskFiles } from "../../runners/runner.ts";
import { EngineError } from "../errors.ts";
import type { LiveContext } from "../sandboxes/freeze.ts";
import { makeRoom, openDisks } from "./replay.ts";
import type { CaptureStore, StoredCapture } from "./store.ts";

const KEPT_MS = 60_000;

interface Opened {
  disk: Promise<DiskFiles>;
  clear: () => Promise<void>;
  timer: NodeJS.Timeout | undefined;
  users: number;
}

export class CaptureFiles {
  readonly #context: LiveContext;
  readonly #store: CaptureStore;
  readonly #opened = new Map<string, Opened>();

  constructor(context: LiveContext, store: CaptureStore) {
    this.#context = context;
    this.#store = store;
  }

  /** What is at a path, and in it when it is a folder. Links are not followed. Throws `not-found`. */
  async look(
    capture: StoredCapture,
    path: string,
    signal: AbortSignal,
  ): Promise<{ entry: DiskEntry; entries: DiskEntry[] }> {
    return this.#with(capture, signal, async (disk) => {
      const entry = await find(disk, capture, path, signal);
      return { entry, entries: entry.type === "dir" ? await disk.list(entry.inode, signal) : [] };
    });
  }

  /** Calls `take` with a file's bytes. Throws `not-found`, or `conflict` for what is no file. */
  async read(
    capture: StoredCapture,
    path: string,
    {
      take,
      signal,
    }: { take: (size: number, bytes: AsyncIterable<Buffer>) => Promise<void>; signal: AbortSignal },
  ): Promise<void> {
    await this.#with(capture, signal, async (disk) => {
      const entry = await find(disk, capture, path, signal);
      if (entry.type !== "file")
        throw new EngineError("conflict", `${capture.id}:${path} is no file: it is a ${entry.type}`);
      await take(entry.size, disk.read(entry.inode, signal));
    });
  }

  /** Lets go of everything. */
  async close(): Promise<void> {
    await Promise.all([...this.#opened.keys()].map((id) => this.#drop(id)));
  }

  async #with<T>(
    capture: StoredCapture,
    signal: AbortSignal,
    work: (disk: DiskFiles) => Promise<T>,
  ): Promise<T> {
    const opened = this.#opened.get(capture.id) ?? this.#open(capture);
    opened.users += 1;
    clearTimeout(opened.timer);
    try {
      const disk = await opened.disk;
      signal.throwIfAborted();
      return await work(disk);
    } catch (error) {
      opened.disk.catch(() => this.#drop(capture.id));
      throw error;
    } finally {
      opened.users -= 1;
      if (opened.users === 0) {
        opened.timer = setTimeout(() => void this.#drop(capture.id), KEPT_MS);
        opened.timer.unref();
      }
    }
  }

  #open(capture: StoredCapture): Opened {
    const { runner } = this.#context;
    const opened: Opened = {
      disk: Promise.reject(new Error()),
      clear: async () => {},
      timer: undefined,
      users: 0,
    };
    opened.disk.catch(() => {});
    opened.disk = (async () => {
      const { dir, clear } = await makeRoom(this.#context);
      opened.clear = clear;
      const { signal } = new AbortController();
      const disks = await openDisks(this.#context, this.#store, capture, { into: dir, signal });
      return runner.openDisk(disks, dir, capture.manifest.resources.diskMib, signal);
    })();
    opened.disk.catch(() => {});
    this.#opened.set(capture.id, opened);
    return opened;
  }

  async #drop(id: string): Promise<void> {
    const opened = this.#opened.get(id);
    if (!opened) return;
    this.#opened.delete(id);
    clearTimeout(opened.timer);
    await opened.disk.catch(() => {});
    await opened.clear();
  }
}

async function find(
  disk: DiskFiles,
  { id }: StoredCapture,
  path: string,
  signal: AbortSignal,
): Promise<DiskEntry> {
  let found: DiskEntry = { inode: disk.root, name: "", type: "dir", size: 0, mode: 0o755, uid: 0, gid: 0 };
  for (const name of path.split("/").filter((part) => part !== "" && part !== ".")) {
    const entries = found.type === "dir" ? await disk.list(found.inode, signal) : [];
    const next = entries.find((entry) => entry.name === name);
    if (!next) throw new EngineError("not-found", `there is no ${path} in ${id}`);
    found = next;
  }
  return found;
}
