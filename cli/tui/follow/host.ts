/** Follows one host: its lists, then its events from there on. A host that goes away is tried again until it is back. */
import { setTimeout as pause } from "node:timers/promises";
import { type RemoteHost, Thaw, ThawError } from "../../../client/index.ts";
import type { HostState, Trouble } from "../state/state.ts";
import type { Store } from "../state/store.ts";
import { type Change, changesOf } from "./changes.ts";
import { isReadable, isReadableTemplate, type Kind } from "./readable.ts";

const PAGE = 1000;
/** A list with more pages than this has no end. */
const MOST_PAGES = 200;
/** Between attempts to reach a host that is away; doubled each time. One that is reached through ssh is a process for each attempt. */
const PAUSE_MS = { least: 500, most: 5000, mostFar: 60_000 };
/** Beyond this, whole lists are asked for in place of each thing that changed. */
const MANY = 100;
/** Who has not answered by then is said to be slow. */
const SLOW_MS = 5000;

export function troubleOf(error: unknown): Trouble {
  if (error instanceof ThawError) return { message: error.message, hint: error.hint };
  return { message: error instanceof Error ? error.message : String(error) };
}

/** @returns what there is, and the id of the last event that it has */
async function readLists(
  client: Thaw,
  signal: AbortSignal,
): Promise<{ part: Partial<HostState>; lastEvent: number }> {
  const sandboxes: HostState["sandboxes"] & Map<string, unknown> = new Map();
  const captures = new Map();
  const snapshots = new Map();
  const unreadable = new Set<string>();
  const add = (kind: Kind, all: Map<string, unknown>, thing: { id: string }): void => {
    if (isReadable(kind, thing)) all.set(thing.id, thing);
    else unreadable.add(`${kind} ${thing.id}`);
  };
  let lastEvent = Number.POSITIVE_INFINITY;
  const readAll = async <P extends { next: string | null; lastEvent: number }>(
    read: (after: string | undefined) => Promise<P>,
    take: (page: P) => void,
  ): Promise<void> => {
    let after: string | undefined;
    for (let pages = 0; pages < MOST_PAGES; pages += 1) {
      const page = await read(after);
      // events since the oldest page are told again: to take one twice does no harm
      lastEvent = Math.min(lastEvent, page.lastEvent);
      take(page);
      if (page.next === null) return;
      after = page.next;
    }
    throw new ThawError("internal", `a list of the daemon's passes ${MOST_PAGES} pages`);
  };
  const [, , , templates] = await Promise.all([
    readAll(
      (after) => client.sandboxes.page({ limit: PAGE, after, signal }),
      (page) => {
        for (const { info } of page.sandboxes) add("sandboxes", sandboxes, info);
      },
    ),
    readAll(
      (after) => client.captures.list({ limit: PAGE, ...(after === undefined ? {} : { after }) }, { signal }),
      (page) => {
        for (const capture of page.captures) add("captures", captures, capture);
      },
    ),
    readAll(
      (after) => client.snapshots.page({ limit: PAGE, after, signal }),
      (page) => {
        for (const snapshot of page.snapshots) add("snapshots", snapshots, snapshot);
      },
    ),
    client.templates.list({ signal }),
  ]);
  for (const template of templates)
    if (!isReadableTemplate(template)) unreadable.add(`templates ${template.name}`);
  return {
    part: {
      ...{ sandboxes, captures, snapshots, unreadable },
      templates: templates.filter(({ name }) => !unreadable.has(`templates ${name}`)),
    },
    lastEvent,
  };
}

export class HostFollower {
  readonly #store: Store;
  readonly #context: string;
  readonly #remote: RemoteHost | undefined;
  readonly #signal: AbortSignal;
  /** Answers requests. It starts no daemon: one that was stopped stays so. */
  readonly client: Thaw;
  readonly #changed = new Map<string, Change>();
  #isReading = false;

  constructor({
    store,
    context,
    remote,
    signal,
  }: { store: Store; context: string; remote: RemoteHost | undefined; signal: AbortSignal }) {
    this.#store = store;
    this.#context = context;
    this.#remote = remote;
    this.#signal = signal;
    this.client = new Thaw({ remote, autostart: false });
  }

  /** Follows until the signal aborts. Never throws. */
  async follow(): Promise<void> {
    // The first thing that is done with a host starts its daemon, and so does its return from a crash.
    let start = true;
    let pauseMs = PAUSE_MS.least;
    while (!this.#signal.aborted) {
      const slow = setTimeout(() => this.#sayIsSlow(), SLOW_MS);
      try {
        if (start) await this.#startDaemon();
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
        this.#set({ status: "away" });
      } catch (error) {
        if (this.#signal.aborted) return;
        this.#set({ status: "away", trouble: troubleOf(error) });
      } finally {
        clearTimeout(slow);
      }
      await pause(pauseMs, undefined, { signal: this.#signal }).catch(() => {});
      pauseMs = Math.min(pauseMs * 2, this.#remote === undefined ? PAUSE_MS.most : PAUSE_MS.mostFar);
    }
  }

  async close(): Promise<void> {
    await this.client.close();
  }

  #sayIsSlow(): void {
    this.#store.setHost(this.#context, (host) => ({
      ...host,
      trouble: host.trouble ?? { message: `it has not answered for ${SLOW_MS / 1000} s; it is waited for` },
    }));
  }

  async #startDaemon(): Promise<void> {
    await using starter = new Thaw({ remote: this.#remote });
    await starter.host.info({ signal: this.#signal });
  }

  async #followOnce(onHere: () => void, onStopped: () => void): Promise<void> {
    const signal = this.#signal;
    const [info, { part, lastEvent }] = await Promise.all([
      this.client.host.info({ signal, anyVersion: true }),
      readLists(this.client, signal),
    ]);
    this.#set({ ...part, info, status: "here", trouble: undefined });
    onHere();
    this.client.host
      .doctor({ signal })
      .then((doctor) => this.#set({ doctor }))
      .catch(() => {});
    const onGap = (): void => this.#note([]);
    let isStopped = false;
    for await (const event of this.client.events({ since: lastEvent, signal, onGap })) {
      if (event.type === "daemon.stopped") {
        isStopped = true;
        onStopped();
        continue;
      }
      if (event.type === "daemon.started" && isStopped) return;
      this.#note(changesOf(event));
    }
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
        const isAll = this.#changed.has("all") || changes.length > MANY;
        this.#changed.clear();
        if (isAll) this.#set((await readLists(this.client, this.#signal)).part);
        else await Promise.all(changes.map((change) => this.#apply(change)));
      }
    } catch {
      // whoever follows the events notices a host that is gone, and reads everything when it is back
    } finally {
      this.#isReading = false;
    }
  }

  async #apply(change: Change): Promise<void> {
    const signal = this.#signal;
    if (change.kind === "templates")
      return this.#set({
        templates: (await this.client.templates.list({ signal })).filter(isReadableTemplate),
      });
    const { kind, id } = change;
    const value = change.isGone ? undefined : await this.#get(kind, id);
    this.#store.setHost(this.#context, (host) => {
      const all = new Map<string, unknown>(host[kind]);
      const unreadable = new Set(host.unreadable);
      all.delete(id);
      unreadable.delete(`${kind} ${id}`);
      if (value !== undefined && isReadable(kind, value)) all.set(id, value);
      else if (value !== undefined) unreadable.add(`${kind} ${id}`);
      return { ...host, [kind]: all, unreadable };
    });
  }

  async #get(kind: Kind, id: string): Promise<unknown> {
    const signal = this.#signal;
    try {
      if (kind === "sandboxes") return (await this.client.sandboxes.get(id, { signal })).info;
      return await this.client[kind].get(id, { signal });
    } catch (error) {
      if (error instanceof ThawError && error.code === "not-found") return undefined;
      throw error;
    }
  }

  #set(part: Partial<HostState>): void {
    this.#store.setHost(this.#context, (host) => ({ ...host, ...part }));
  }
}
