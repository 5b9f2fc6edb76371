/** What a capture costs the run it belongs to, the disk, and whoever stands in it again. */
import type { Event } from "../../client/index.ts";
import { dirty, runInGuest } from "./guest.ts";
import { interleave } from "./interleave.ts";
import { figure, peer, type Row } from "./row.ts";
import { prepareUsed, type Used } from "./used.ts";
import type { World } from "./world.ts";

const EVENT_DEADLINE_MS = 60_000;
/** Says when it is about to fail. */
const FAILING = ["sh", "-c", `${dirty(20e6)}; echo; exit 3`];

export async function measureCapture(world: World): Promise<Row[]> {
  const { client, signal } = world;
  await using used = await prepareUsed(world);
  const stored: number[] = [];
  const shares: number[] = [];
  const captures: string[] = [];
  const last = (list: string[]): string | undefined => list.at(-1);
  const captured = async (): Promise<number> => {
    const events = new Heard(world);
    try {
      await events.ready;
      const { id, failedAt, returnedAt } = await fail(world, used, true);
      const created = await events.of("capture.created", id);
      stored.push(created.at - failedAt);
      shares.push((storedBytes(created.event) / used.usedBytes) * 100);
      // The trial thaw behind it would weigh on the next sample.
      await events.of("capture.verified", id);
      const before = last(captures);
      captures.push(id);
      if (before !== undefined) await client.captures.remove(before);
      return returnedAt - failedAt;
    } finally {
      events.close();
    }
  };
  try {
    const { ours, against } = await interleave({
      runs: world.runs(7),
      ours: captured,
      against: async () => {
        const { failedAt, returnedAt } = await fail(world, used, false);
        return returnedAt - failedAt;
      },
      signal,
    });
    const added = ours.map((ms, index) => ms - (against[index] ?? Number.NaN));
    const megabytes = (used.usedBytes / 1e6).toFixed(0);
    return [
      {
        name: "exec fails → result, added by a capture",
        ours: figure("ms", added),
        target: { of: "ours", bound: "at most", value: 150 },
        note: `${megabytes} MB of 512 MiB used, 20 MB of noise dirtied; without one: ${figure("ms", against).median.toFixed(1)} ms`,
      },
      {
        name: "exec fails → capture whole on disk",
        ours: figure("ms", stored.slice(1)),
        target: { of: "ours", bound: "at most", value: 1500 },
      },
      {
        name: "capture: stored, of the memory in use",
        ours: figure("%", shares.slice(1)),
        target: { of: "ours", bound: "at most", value: 15 },
      },
      await measureReplay(world, used, last(captures) ?? ""),
    ];
  } finally {
    for (const id of captures.slice(-1)) await client.captures.remove(id);
  }
}

/** Both until a shell that was started has printed something. */
async function measureReplay(world: World, used: Used, capture: string): Promise<Row> {
  const { client, signal } = world;
  const until = async (request: Used["request"]): Promise<number> => {
    const start = performance.now();
    const { id } = await client.sandboxes.create(request, { signal });
    try {
      const { firstOutputAt } = await runInGuest(world, id, { argv: ["sh", "-c", "echo"] });
      return firstOutputAt - start;
    } finally {
      await client.sandboxes.at(id).remove();
    }
  };
  const samples = await interleave({
    runs: world.runs(6),
    ours: () => until({ source: { capture } }),
    against: () => until(used.request),
    signal,
  });
  return {
    name: "replay: until its shell answers",
    ours: figure("ms", samples.ours),
    against: peer("plain thaw", "ms", samples.against),
    target: { of: "ratio", bound: "at most", value: 2 },
  };
}

/** A command that fails, in a sandbox of its own. */
async function fail(
  world: World,
  used: Used,
  capture: boolean,
): Promise<{ id: string; failedAt: number; returnedAt: number }> {
  const { client, signal } = world;
  const { id: sandbox } = await client.sandboxes.create(used.request, { signal });
  try {
    const policy = capture ? "on-failure" : "never";
    const ran = await runInGuest(world, sandbox, { argv: FAILING, capture: policy });
    const { captured } = ran.exec;
    if (capture && (captured === null || "error" in captured))
      throw new Error(`not captured: ${captured?.error ?? ran.exec.error?.message}`);
    const id = captured !== null && "id" in captured ? captured.id : "";
    return { id, failedAt: ran.firstOutputAt, returnedAt: ran.endedAt };
  } finally {
    await client.sandboxes.at(sandbox).remove();
  }
}

/** The daemon's events, with the time at which each was heard. */
class Heard {
  readonly #events: { event: Event; at: number }[] = [];
  readonly #abort = new AbortController();
  readonly #signal: AbortSignal;
  readonly #ready = Promise.withResolvers<void>();
  #news = Promise.withResolvers<void>();

  constructor(world: World) {
    const { client, signal } = world;
    this.#signal = AbortSignal.any([signal, this.#abort.signal, AbortSignal.timeout(EVENT_DEADLINE_MS)]);
    this.#follow(client).catch((error: unknown) => {
      this.#ready.reject(error);
      this.#news.reject(error);
    });
    this.#news.promise.catch(() => {});
  }

  /** Nothing that happens from then on is missed. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  async of(type: Event["type"], target: string): Promise<{ event: Event; at: number }> {
    for (;;) {
      const found = this.#events.find(({ event }) => event.type === type && event.target === target);
      if (found) return found;
      await this.#news.promise;
    }
  }

  close(): void {
    this.#abort.abort();
  }

  async #follow(client: World["client"]): Promise<void> {
    let last = 1;
    for await (const { id } of client.events({ follow: false, signal: this.#signal })) last = id;
    for await (const event of client.events({ since: last - 1, signal: this.#signal })) {
      this.#ready.resolve();
      this.#events.push({ event, at: performance.now() });
      this.#news.resolve();
      this.#news = Promise.withResolvers();
      this.#news.promise.catch(() => {});
    }
  }
}

function storedBytes(event: Event): number {
  return event.type === "capture.created" ? (event.details.storedBytes ?? 0) : 0;
}
