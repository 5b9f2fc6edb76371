/**
 * The events of a host: the last of them in memory, all of them on disk until their file is rotated away. A line is handed to the kernel
 * before anybody hears of its event, so that a daemon that is killed neither forgets one nor gives its id to another.
 */

import { appendFileSync, readFileSync, renameSync, truncateSync } from "node:fs";
import { type EventDetails, type EventRecord, type EventType, eventRecord } from "../../api/event.ts";

export interface EventLogLimits {
  /** Kept for replay. */
  events: number;
  /** Of the file, before it becomes the older one of two. */
  fileBytes: number;
}
const LIMITS: EventLogLimits = { events: 10_000, fileBytes: 4 << 20 };

interface Happening<T extends EventType> extends Pick<EventRecord, "target" | "name" | "sandbox"> {
  type: T;
  details: EventDetails<T>;
}

export class EventLog {
  readonly #path: string;
  readonly #limits: EventLogLimits;
  readonly #listeners = new Set<() => void>();
  /** This daemon's own begin here. */
  readonly #firstId: number;
  /** Without those of earlier daemons until somebody asks for them: to read thousands of events would hold up a daemon's start. */
  #ring: EventRecord[] = [];
  #hasPast = false;
  #nextId: number;
  #fileBytes = 0;
  /** Why the last line could not be written; events go on in memory. */
  #failure: Error | null = null;

  private constructor(path: string, limits: EventLogLimits, firstId: number) {
    this.#path = path;
    this.#limits = limits;
    this.#firstId = firstId;
    this.#nextId = firstId;
  }

  /** Goes on where earlier daemons ended. A half-written last line is cut off. */
  static open(path: string, limits: EventLogLimits = LIMITS): EventLog {
    const newer = readFile(path);
    const lastId = lastIdIn(newer.lines) ?? lastIdIn(readFile(olderPath(path)).lines) ?? 0;
    const log = new EventLog(path, limits, lastId + 1);
    if (newer.torn) log.#cut(newer.bytes);
    log.#fileBytes = newer.bytes;
    return log;
  }

  get lastId(): number {
    return this.#nextId - 1;
  }

  /** The oldest id that can be replayed; one past the last when there is none. */
  get oldestId(): number {
    this.#readPast();
    return this.#ring[0]?.id ?? this.#nextId;
  }

  /** Whether events after this id are not kept any more. */
  hasForgotten(id: number): boolean {
    if (id + 1 < this.#firstId) this.#readPast();
    return id + 1 < (this.#ring[0]?.id ?? this.#nextId);
  }

  get failure(): Error | null {
    return this.#failure;
  }

  append<T extends EventType>(happening: Happening<T>): EventRecord {
    const entry: EventRecord = { id: this.#nextId, time: new Date().toISOString(), ...happening };
    this.#nextId += 1;
    this.#write(`${JSON.stringify(entry)}\n`);
    this.#ring.push(entry);
    // In pieces: shifting an array of thousands for each event is not free.
    if (this.#ring.length > this.#limits.events * 1.1) {
      this.#ring = this.#ring.slice(-this.#limits.events);
      this.#hasPast = true;
    }
    for (const listener of this.#listeners) listener();
    return entry;
  }

  /** Events after an id, at most `limit`, oldest first. */
  after(id: number, limit = Number.POSITIVE_INFINITY): EventRecord[] {
    if (id + 1 < this.#firstId) this.#readPast();
    const start = Math.max(0, id + 1 - (this.#ring[0]?.id ?? this.#nextId));
    return this.#ring.slice(start, start + limit);
  }

  #readPast(): void {
    if (this.#hasPast) return;
    this.#hasPast = true;
    const past = [olderPath(this.#path), this.#path]
      .flatMap((path) => readFile(path).lines.flatMap(parseEvent))
      .filter(({ id }) => id < this.#firstId);
    this.#ring = [...past, ...this.#ring].slice(-this.#limits.events);
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

/** Its whole lines. Of a file that can't be read: none. */
function readFile(path: string): { lines: string[]; bytes: number; torn: boolean } {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return { lines: [], bytes: 0, torn: false };
  }
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  return {
    lines: whole.split("\n"),
    bytes: Buffer.byteLength(whole),
    torn: whole.length < text.length,
  };
}

function lastIdIn(lines: readonly string[]): number | undefined {
  for (const line of lines.toReversed()) for (const { id } of parseEvent(line)) return id;
  return undefined;
}

/** The event, or nothing. */
function parseEvent(line: string): EventRecord[] {
  try {
    return [eventRecord.parse(JSON.parse(line))];
  } catch {
    return [];
  }
}
