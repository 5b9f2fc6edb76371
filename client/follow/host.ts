/** Follows one host: its lists, then its events from there on. Retries a host that goes offline until it answers. */

import { defined } from "../../api/defined.ts";
import type { Event } from "../../api/schema.ts";
import { ThawError } from "../errors.ts";
import { pause } from "../pause.ts";
import type { ThawClient } from "../thaw-client.ts";
import { type Change, changesOf } from "./changes.ts";
import { type HostState, troubleOf } from "./state.ts";

const KINDS = ["sandboxes", "captures", "snapshots"] as const;
/** The lists of a host whose things have ids. */
export type ListKind = (typeof KINDS)[number];
const PAGE = 1000;
/** A list with more pages than this has no end. */
const MOST_PAGES = 200;
/** Between attempts to reach a host that is offline; doubled each time. */
const PAUSE_MS = { least: 500, most: 5000 };
/** When more of a list has changed, the whole list is asked for in place of each thing. */
const MANY = 100;
/** After a round of questions: what changes meanwhile is asked for once, however often it changes. */
const ROUND_MS = 100;
/** Who has not answered by then is said to be slow. */
const SLOW_MS = 5000;
const SILENT_MS = 40_000;

/** What a follower asks of a client. */
export type FollowedClient = Pick<
  ThawClient,
  "sandboxes" | "captures" | "snapshots" | "templates" | "events"
> & {
  host: Pick<ThawClient["host"], "info" | "doctor">;
};

export interface FollowOptions {
  /** Answers requests. It starts no daemon: one that was stopped stays so. */
  client: FollowedClient;
  /** Changes what is known of the host. */
  set: (change: (host: HostState) => HostState) => void;
  /** The lists are there: shows them without delay. */
  hurry?: () => void;
  /** Whether what the host has sent can be shown: a daemon of another version may send what we do not know. */
  isReadable: (kind: ListKind | "templates", thing: unknown) => boolean;
  /** Starts the daemon where there is none: done first, and after a crash. */
  start?: (signal: AbortSignal) => Promise<void>;
  /** The longest time between two attempts to reach the host. Default 5 s. */
  mostPauseMs?: number;
  /** After so long without an event or a sign of life the lists are read. Default 40 s: a daemon that is well says so every 15 s. */
  silentMs?: number;
  signal: AbortSignal;
}

interface Page {
  items: readonly { id: string }[];
  next: string | null;
  lastEvent: number;
}

function readPage(
  client: FollowedClient,
  kind: ListKind,
  { after, signal }: { after: string | undefined; signal: AbortSignal },
): Promise<Page> {
  const page = { limit: PAGE, after, signal };
  const readers: Record<ListKind, () => Promise<Page>> = {
    sandboxes: async () => {
      const { sandboxes, ...end } = await client.sandboxes.page(page);
      return { ...end, items: sandboxes.map(({ info }) => info) };
    },
    captures: async () => {
      const query = { limit: PAGE, ...defined({ after }) };
      const { captures, ...end } = await client.captures.list(query, { signal });
      return { ...end, items: captures };
    },
    snapshots: async () => {
      const { snapshots, ...end } = await client.snapshots.page(page);
      return { ...end, items: snapshots };
    },
  };
  return readers[kind]();
}

/** A list by id. `lastEvent`: the last event that its oldest page has seen; to take a later one twice does no harm. */
interface List {
  kind: ListKind;
  all: Map<string, unknown>;
  unreadable: string[];
  lastEvent: number;
}

async function readList({ client, isReadable, signal }: FollowOptions, kind: ListKind): Promise<List> {
  const list: List = { kind, all: new Map(), unreadable: [], lastEvent: Number.POSITIVE_INFINITY };
  let after: string | undefined;
  for (let pages = 0; pages < MOST_PAGES; pages += 1) {
    const page = await readPage(client, kind, { after, signal });
    list.lastEvent = Math.min(list.lastEvent, page.lastEvent);
    for (const item of page.items)
      if (isReadable(kind, item)) list.all.set(item.id, item);
      else list.unreadable.push(`${kind} ${item.id}`);
    if (page.next === null) return list;
    after = page.next;
  }
  throw new ThawError("internal", `a list of the daemon has more than ${MOST_PAGES} pages`);
}

/** The host with a list as it was read anew. */
function withList(host: HostState, { kind, all, unreadable }: List): HostState {
  const others = [...host.unreadable].filter((name) => !name.startsWith(`${kind} `));
  return { ...host, [kind]: all, unreadable: new Set([...others, ...unreadable]) };
}

/** @returns what there is, and the id of the last event that it has */
async function readLists(options: FollowOptions): Promise<{ part: Partial<HostState>; lastEvent: number }> {
  const { client, isReadable, signal } = options;
  const [templates, ...lists] = await Promise.all([
    client.templates.list({ signal }),
    ...KINDS.map((kind) => readList(options, kind)),
  ]);
  const unreadable = new Set(lists.flatMap((list) => list.unreadable));
  for (const template of templates)
    if (!isReadable("templates", template)) unreadable.add(`templates ${template.name}`);
  return {
    part: {
      ...Object.fromEntries(lists.map(({ kind, all }) => [kind, all])),
      unreadable,
      templates: templates.filter(({ name }) => !unreadable.has(`templates ${name}`)),
    },
    lastEvent: Math.min(...lists.map(({ lastEvent }) => lastEvent)),
  };
}

export class Follower {
  readonly #options: FollowOptions;
  readonly #client: FollowedClient;
  readonly #signal: AbortSignal;
  readonly #answered = Promise.withResolvers<void>();
  readonly #changed = new Map<string, Change>();
  #isReading = false;

  constructor(options: FollowOptions) {
    this.#options = options;
    this.#client = options.client;
    this.#signal = options.signal;
  }

  /** Resolves when the host has answered for the first time, or is known to be offline. */
  get answered(): Promise<void> {
    return this.#answered.promise;
  }

  /** Follows until the signal aborts. Never throws. */
  async follow(): Promise<void> {
    // The first thing that is done with a host starts its daemon, and so does its return from a crash.
    let start = true;
    let pauseMs = PAUSE_MS.least;
    while (!this.#signal.aborted) {
      const slow = setTimeout(() => this.#sayIsSlow(), SLOW_MS);
      try {
        if (start) await this.#options.start?.(this.#signal);
        await this.#followOnce(
          () => {
            clearTimeout(slow);
            pauseMs = PAUSE_MS.least;
            start = true;
          },
          () => {
            start = false;
          },
        );
        this.#set({ status: "offline" });
      } catch (error) {
        if (this.#signal.aborted) return;
        this.#set({ status: "offline", trouble: troubleOf(error) });
      } finally {
        clearTimeout(slow);
        this.#answered.resolve();
      }
      await pause(pauseMs, this.#signal).catch(() => {});
      pauseMs = Math.min(pauseMs * 2, this.#options.mostPauseMs ?? PAUSE_MS.most);
    }
  }

  #sayIsSlow(): void {
    this.#options.set((host) => ({
      ...host,
      trouble: host.trouble ?? { message: `no answer for ${SLOW_MS / 1000} s; still waiting` },
    }));
  }

  async #followOnce(onHere: () => void, onStopped: () => void): Promise<void> {
    const signal = this.#signal;
    const [info, { part, lastEvent }] = await Promise.all([
      this.#client.host.info({ signal, anyVersion: true }),
      readLists(this.#options),
    ]);
    this.#set({ ...part, info, status: "here", trouble: undefined });
    this.#options.hurry?.();
    this.#answered.resolve();
    onHere();
    this.#client.host
      .doctor({ signal })
      .then((doctor) => this.#set({ doctor }))
      .catch(() => {});
    const onGap = (): void => this.#note([]);
    using silence = this.#watchSilence();
    const onAlive = silence.end;
    let isStopped = false;
    for await (const event of this.#events({ since: lastEvent, signal, onGap, onAlive })) {
      if (event.type === "daemon.stopped") {
        isStopped = true;
        onStopped();
        continue;
      }
      if (event.type === "daemon.started") {
        if (isStopped) return;
        // it follows one that crashed, and may be of another build
        void this.#readInfo();
      }
      this.#note(changesOf(event));
    }
  }

  async #readInfo(): Promise<void> {
    const { signal } = this.#options;
    const info = await this.#client.host.info({ signal, anyVersion: true }).catch(() => undefined);
    if (info !== undefined) this.#set({ info });
  }

  /** A proxy may hold even the head of the answer back: whoever is that slow is asked again, and is not offline. */
  async *#events(options: Parameters<FollowedClient["events"]>[0]): AsyncGenerator<Event, void> {
    let since = options?.since;
    for (;;) {
      try {
        for await (const event of this.#client.events({ ...options, since })) {
          since = event.id;
          yield event;
        }
        return;
      } catch (error) {
        if (!(error instanceof ThawError && error.code === "timeout")) throw error;
      }
    }
  }

  /**
   * Says when nothing has come for long, and reads the lists each time: a daemon that hangs breaks no connection, and a proxy may hold events
   * back. @returns `end`: to be called when something has come
   */
  #watchSilence(): Disposable & { end: () => void } {
    const silentMs = this.#options.silentMs ?? SILENT_MS;
    const seconds = Math.round(silentMs / 1000);
    const trouble = {
      message: `no data for ${seconds} s: the daemon hangs, or a proxy holds its events back. The lists are read every ${seconds} s`,
    };
    const wait = () =>
      setTimeout(() => {
        this.#set({ trouble });
        this.#note([]);
        timer = wait();
      }, silentMs);
    let timer = wait();
    const end = (): void => {
      clearTimeout(timer);
      timer = wait();
      this.#options.set((host) => (host.trouble === undefined ? host : { ...host, trouble: undefined }));
    };
    return { end, [Symbol.dispose]: () => clearTimeout(timer) };
  }

  /** Takes note of changes and asks for them. @param changes none: everything may have changed */
  #note(changes: readonly Change[]): void {
    for (const change of changes) {
      const key = "id" in change ? `${change.kind} ${change.id}` : change.kind;
      this.#changed.set(key, change);
    }
    if (changes.length === 0) this.#changed.set("all", { kind: "templates" });
    if (!this.#isReading) void this.#read();
  }

  async #read(): Promise<void> {
    this.#isReading = true;
    try {
      while (this.#changed.size > 0 && !this.#signal.aborted) {
        const changes = [...this.#changed.values()];
        const isAll = this.#changed.has("all");
        this.#changed.clear();
        if (isAll) this.#set((await readLists(this.#options)).part);
        else await this.#readChanged(changes);
        await pause(ROUND_MS, this.#signal);
      }
    } catch {
      // whoever follows the events notices a host that is gone, and reads everything when it is back
    } finally {
      this.#isReading = false;
    }
  }

  async #readChanged(changes: readonly Change[]): Promise<void> {
    const crowded = KINDS.filter((kind) => changes.filter((each) => each.kind === kind).length > MANY);
    for (const kind of crowded) {
      const list = await readList(this.#options, kind);
      this.#options.set((host) => withList(host, list));
    }
    await this.#apply(changes.filter(({ kind }) => !crowded.some((each) => each === kind)));
  }

  /** Asks for what has changed and takes it into the state at once: each list is copied once. */
  async #apply(changes: readonly Change[]): Promise<void> {
    const { isReadable, signal } = this.#options;
    const answers = await Promise.all(
      changes.map(async (change) => {
        if (change.kind === "templates") return { templates: await this.#client.templates.list({ signal }) };
        return { ...change, value: change.isGone ? undefined : await this.#get(change.kind, change.id) };
      }),
    );
    this.#options.set((host) => {
      const next: HostState = { ...host };
      const unreadable = new Set(host.unreadable);
      const copies = new Map<ListKind, Map<string, unknown>>();
      for (const answer of answers) {
        if ("templates" in answer) {
          next.templates = answer.templates.filter((each) => isReadable("templates", each));
          continue;
        }
        const { kind, id, value } = answer;
        const all = copies.get(kind) ?? new Map<string, unknown>(host[kind]);
        copies.set(kind, all);
        unreadable.delete(`${kind} ${id}`);
        if (value !== undefined && isReadable(kind, value)) all.set(id, value);
        else all.delete(id);
        if (value !== undefined && !all.has(id)) unreadable.add(`${kind} ${id}`);
      }
      return { ...next, ...Object.fromEntries(copies), unreadable };
    });
  }

  async #get(kind: ListKind, id: string): Promise<unknown> {
    const signal = this.#signal;
    try {
      if (kind === "sandboxes") return (await this.#client.sandboxes.get(id, { signal })).info;
      return await this.#client[kind].get(id, { signal });
    } catch (error) {
      if (error instanceof ThawError && error.code === "not-found") return undefined;
      throw error;
    }
  }

  #set(part: Partial<HostState>): void {
    this.#options.set((host) => ({ ...host, ...part }));
  }
}
