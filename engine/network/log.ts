/** What a sandbox reached, and what it was kept from: bounded, on disk and in memory. */
import { EventEmitter } from "node:events";
import { appendFile, readFile, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import {
  type NetworkEntry,
  type NetworkSummary,
  type NetworkTotals,
  networkEntry,
} from "../../api/network.ts";
import { measurements } from "../measurements.ts";
import { ruleToAdd } from "./policy.ts";

const FILE = "network.jsonl";
const OLDER_FILE = "network.old.jsonl";
const MAX_FILE_BYTES = 512 * 1024;
const KEPT_LINES = 1_000;
/** Destinations in a summary. */
const MAX_DESTINATIONS = 200;
const MAX_PROCESSES = 8;
/** Lines in a burst, and a second after that. What goes beyond is counted and not written. */
export const BURST_LINES = 300;
export const LINES_PER_SECOND = 30;

export class NetworkLog extends EventEmitter<{ entry: [NetworkEntry] }> {
  readonly #dir: string;
  readonly #now: () => number;
  #entries: NetworkEntry[] = [];
  readonly #summaries = new Map<string, NetworkSummary>();
  readonly totals: NetworkTotals = { allowed: 0, denied: 0, failed: 0, sent: 0, received: 0, dropped: 0 };
  #tokens = BURST_LINES;
  #tokensAt: number;
  #writing: Promise<void> = Promise.resolve();
  #restored: Promise<void> | undefined;

  /** @param dir the sandbox's folder */
  constructor(dir: string, now: () => number = () => performance.now()) {
    super();
    this.setMaxListeners(0);
    this.#dir = dir;
    this.#now = now;
    this.#tokensAt = now();
  }

  /** Reads what an earlier daemon wrote, once, before anything is added. Lines that can't be read are left out. */
  restore(): Promise<void> {
    this.#restored ??= this.#read();
    return this.#restored;
  }

  async #read(): Promise<void> {
    for (const file of [OLDER_FILE, FILE]) {
      const text = await readFile(join(this.#dir, file), "utf8").catch(() => "");
      for (const line of text.split("\n")) {
        const entry = parsed(line);
        if (entry) this.#count(entry);
        if (entry) this.#keep(entry);
      }
    }
  }

  get entries(): readonly NetworkEntry[] {
    return this.#entries;
  }

  /** The most frequent first. */
  get summary(): NetworkSummary[] {
    return [...this.#summaries.values()].sort((a, b) => b.count - a.count);
  }

  add(entry: NetworkEntry): void {
    measurements.emit("verdict", entry.verdict);
    this.#count(entry);
    if (!this.#mayWrite()) {
      this.totals.dropped += 1;
      return;
    }
    this.#keep(entry);
    this.emit("entry", entry);
    this.#writing = this.#writing.then(() => this.#write(entry)).catch(() => {});
  }

  /** Resolves when what was added is written. */
  flush(): Promise<void> {
    return this.#writing;
  }

  #keep(entry: NetworkEntry): void {
    this.#entries.push(entry);
    if (this.#entries.length > KEPT_LINES) this.#entries.splice(0, this.#entries.length - KEPT_LINES);
  }

  #count(entry: NetworkEntry): void {
    const { totals } = this;
    const { verdict, sent, received, port, rule, reason, process } = entry;
    if (verdict === "denied") totals.denied += 1;
    else if (verdict === "failed") totals.failed += 1;
    else totals.allowed += 1;
    totals.sent += sent;
    totals.received += received;
    const destination = destinationOf(entry);
    const key = `${verdict} ${destination} ${port}`;
    const known = this.#summaries.get(key);
    if (!known && this.#summaries.size >= MAX_DESTINATIONS) return;
    const summary = known ?? {
      ...{ destination, port, verdict, count: 0, sent: 0, received: 0, processes: [], reason },
      rule: verdict === "denied" ? ruleToAdd(reason) : rule,
    };
    summary.count += 1;
    summary.sent += sent;
    summary.received += received;
    if (process !== null && !summary.processes.includes(process) && summary.processes.length < MAX_PROCESSES)
      summary.processes.push(process);
    this.#summaries.set(key, summary);
  }

  #mayWrite(): boolean {
    const now = this.#now();
    this.#tokens = Math.min(BURST_LINES, this.#tokens + ((now - this.#tokensAt) / 1000) * LINES_PER_SECOND);
    this.#tokensAt = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  async #write(entry: NetworkEntry): Promise<void> {
    const path = join(this.#dir, FILE);
    await appendFile(path, `${JSON.stringify(entry)}\n`, { mode: 0o600 });
    if ((await stat(path)).size > MAX_FILE_BYTES) await rename(path, join(this.#dir, OLDER_FILE));
  }
}

function destinationOf({ name, address }: Pick<NetworkEntry, "name" | "address">): string {
  return name ?? address ?? "";
}

function parsed(line: string): NetworkEntry | null {
  try {
    return networkEntry.parse(JSON.parse(line));
  } catch {
    return null;
  }
}
