/**
 * The files of a capture, from the best that this host can: the captured machine itself, thawed for it, or else its disk. What was opened for
 * one question is kept a while for the next.
 */
import { EngineError } from "../errors.ts";
import type { LiveContext } from "../sandboxes/freeze.ts";
import { type CheckContext, checkCapture } from "./check.ts";
import { openDiskSource } from "./disk-source.ts";
import type { FileLevel, FileSource } from "./file-source.ts";
import { openMachineSource } from "./machine-source.ts";
import type { CaptureStore, StoredCapture } from "./store.ts";

/** Longer for a disk, which costs more to open and nothing to keep. */
const KEPT_MS = { memory: 10_000, files: 60_000 };

export interface FileAnswer {
  level: FileLevel;
  /** Why it is not memory that was read; null when it is. */
  why: string | null;
}

interface Opened {
  source: Promise<FileSource>;
  timer: NodeJS.Timeout | undefined;
  users: number;
  /** Rests and wakes, one after the other. */
  turn: Promise<void>;
}

export class CaptureFiles {
  readonly #context: LiveContext & CheckContext;
  readonly #store: CaptureStore;
  /** By id and level. */
  readonly #opened = new Map<string, Opened>();

  constructor(context: LiveContext & CheckContext, store: CaptureStore) {
    this.#context = context;
    this.#store = store;
  }

  /**
   * Does something with a capture's files. They stay open until the work has settled.
   * @param options.level default: the best that this host can
   */
  async use<T>(
    capture: StoredCapture,
    { level, signal }: { level?: FileLevel | undefined; signal: AbortSignal },
    work: (source: FileSource, answer: FileAnswer) => Promise<T>,
  ): Promise<T> {
    if (level === "files")
      return this.#with(capture, "files", signal, (source) => work(source, { level, why: "asked for" }));
    let why = await this.#whyNotMemory(capture);
    if (why === null) {
      // What fails once it is open is an answer; what can't be opened is no reason to answer nothing.
      const opened = await this.#hold(capture, "memory").catch((error: Error) => error);
      if (!(opened instanceof Error)) {
        try {
          signal.throwIfAborted();
          return await work(opened.source, { level: "memory", why: null });
        } finally {
          opened.release();
        }
      }
      why = opened.message;
    }
    if (level === "memory")
      throw new EngineError(
        "unsupported",
        `the files of ${capture.id} can't be read from its memory: ${why}`,
      );
    return this.#with(capture, "files", signal, (source) => work(source, { level: "files", why }));
  }

  /** Closes everything. */
  async close(): Promise<void> {
    await Promise.all([...this.#opened.keys()].map((key) => this.#drop(key)));
  }

  async #whyNotMemory({ id, manifest }: StoredCapture): Promise<string | null> {
    const { verified } = await this.#store.notes(id);
    if (verified?.ok === false) return verified.reason;
    const { levels } = await checkCapture(this.#context, manifest);
    const memory = levels.find(({ level }) => level === "memory");
    return memory?.ok ? null : (memory?.reasons.join("; ") ?? "not possible here");
  }

  async #with<T>(
    capture: StoredCapture,
    level: FileLevel,
    signal: AbortSignal,
    work: (source: FileSource) => Promise<T>,
  ): Promise<T> {
    const { source, release } = await this.#hold(capture, level);
    try {
      signal.throwIfAborted();
      return await work(source);
    } finally {
      release();
    }
  }

  async #hold(
    capture: StoredCapture,
    level: FileLevel,
  ): Promise<{ source: FileSource; release: () => void }> {
    const key = `${capture.id} ${level}`;
    const opened = this.#opened.get(key) ?? this.#open(key, capture, level);
    opened.users += 1;
    clearTimeout(opened.timer);
    const release = (): void => {
      opened.users -= 1;
      if (opened.users > 0) return;
      opened.timer = setTimeout(() => void this.#drop(key), KEPT_MS[level]);
      opened.timer.unref();
      void this.#inTurn(opened, async (source) => {
        if (opened.users === 0) await source.rest?.();
      }).catch(() => {});
    };
    try {
      const source = await opened.source;
      await this.#inTurn(opened, async () => source.wake?.());
      return { source, release };
    } catch (error) {
      release();
      void this.#drop(key, opened);
      throw error;
    }
  }

  #open(key: string, capture: StoredCapture, level: FileLevel): Opened {
    const open = level === "memory" ? openMachineSource : openDiskSource;
    const source = open(this.#context, this.#store, capture);
    source.catch(() => {});
    // A machine that ends while it is kept is not offered again.
    void source
      .then(({ agent }) => agent?.session.ended)
      .then((ended) => ended && this.#drop(key, opened))
      .catch(() => {});
    const opened: Opened = { source, timer: undefined, users: 0, turn: Promise.resolve() };
    this.#opened.set(key, opened);
    return opened;
  }

  #inTurn(opened: Opened, work: (source: FileSource) => Promise<void>): Promise<void> {
    const result = opened.turn.then(async () => work(await opened.source));
    opened.turn = result.catch(() => {});
    return result;
  }

  async #drop(key: string, only?: Opened): Promise<void> {
    const opened = this.#opened.get(key);
    if (!opened || (only && opened !== only)) return;
    this.#opened.delete(key);
    clearTimeout(opened.timer);
    await opened.source.then(
      (source) => source.close(),
      () => {},
    );
  }
}
