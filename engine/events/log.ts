/**
 * The events of a host: the last of them in memory, all of them on disk until their file is rotated away. A line is handed to the kernel
 * before anybody hears of its event, so that a daemon that is killed neither forgets one nor gives its id to another.
 */

import { appendFileSync, readFileSync, renameSync, truncateSync } from "node:fs";
import { type Event, event } from "../../api/event.ts";

export interface EventLogLimits {
  /** Kept for replay. */
  events: number;
  /** Of the file, before it becomes the older one of two. */
  fileBytes: number;
}
const LIMITS: EventLogLimits = { events: 10_000, fileBytes: 4 << 20 };

type Happening = Omit<Event, "id" | "time">;

export class EventLog {
  readonly #path: string;
  readonly #limits: EventLogLimits;
  readonly #listeners = new Set<() => void>();
  #ring: Event[] = [];
  #nextId = 1;
  #fileBytes = 0;
  /** Why the last line could not be written; events go on in memory. */
  #failure: Error | null = null;

  private constructor(path: string, limits: EventLogLimits) {
    this.#path = path;
    this.#limits = limits;
  }

  /** Reads what earlier daemons wrote. A half-written last line is cut off. */
  static open(path: string, limits: EventLogLimits = LIMITS): EventLog {
    const log = new EventLog(path, limits);
    const older = readLines(olderPath(path));
    const newer = readLines(path);
    if (newer.torn) log.#cut(newer.bytes);
    log.#fileBytes = newer.bytes;
    log.#ring = [...older.events, ...newer.events].slice(-limits.events);
    log.#nextId = (log.#ring.at(-1)?.id ?? 0) + 1;
    return log;
  }

  get lastId(): number {
    return this.#nextId - 1;
  }

  /** The oldest id that can be replayed; one past the last when there is none. */
  get oldestId(): number {
    return this.#ring[0]?.id ?? this.#nextId;
  }

  get failure(): Error | null {
    return this.#failure;
  }

  append(happening: Happening): Event {
    const entry: Event = { id: this.#nextId, time: new Date().toISOString(), ...happening };
    this.#nextId += 1;
    this.#write(`${JSON.stringify(entry)}\n`);
    this.#ring.push(entry);
    // In pieces: shifting an array of thousands for each event is not free.
    if (this.#ring.length > this.#limits.events * 1.1) this.#ring = this.#ring.slice(-this.#limits.events);
    for (const listener of this.#listeners) listener();
    return entry;
  }

  /** Events after an id, at most `limit`, oldest first. */
  after(id: number, limit = Number.POSITIVE_INFINITY): Event[] {
    const start = Math.max(0, id + 1 - this.oldestId);
    return this.#ring.slice(start, start + limit);
  }

  /** Calls back after each event. Returns how to stop. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #cut(bytes: number): void {
    try {
      truncateSync(this.#path, bytes);
    } catch (error) {
      // Of a read-only file system: nothing is appended to it either.
      this.#failure = error as Error;
    }
  }

  #write(line: string): void {
    try {
      if (this.#fileBytes + line.length > this.#limits.fileBytes) {
        renameSync(this.#path, olderPath(this.#path));
        this.#fileBytes = 0;
      }
      appendFileSync(this.#path, line, { mode: 0o600 });
      this.#fileBytes += Buffer.byteLength(line);
      this.#failure = null;
    } catch (error) {
      this.#failure = error as Error;
    }
  }
}

function olderPath(path: string): string {
  return path.replace(/\.jsonl$/, ".1.jsonl");
}

function readLines(path: string): { events: Event[]; bytes: number; torn: boolean } {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return { events: [], bytes: 0, torn: false };
  }
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  const events = whole.split("\n").flatMap((line) => {
    const parsed = event.safeParse(parseJson(line));
    return parsed.success ? [parsed.data] : [];
  });
  return { events, bytes: Buffer.byteLength(whole), torn: whole.length < text.length };
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
