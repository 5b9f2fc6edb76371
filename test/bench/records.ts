/** A daemon with a thousand sandboxes that have stopped, in a state folder of its own: lists of them, and events to a hundred listeners. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { findPaths, Thaw } from "../../client/index.ts";
import { type SandboxRecord, sandboxRecord } from "../../engine/sandboxes/record.ts";
import { runTimed } from "./command.ts";
import { repeat, timed } from "./interleave.ts";
import { p99 } from "./median.ts";
import { figure, type Row } from "./row.ts";
import type { World } from "./world.ts";

const COUNT = 1000;
const WARM_UP = 30;
/** Of fewer, the 99th percentile would be the slowest. */
const LISTS = 200;
const REMOVED = 200;
const LISTENERS = 100;
const EVENTS_DEADLINE_MS = 30_000;

export async function measureList(world: World): Promise<Row[]> {
  await using daemon = await openRecords(world);
  const { client } = daemon;
  const list = () =>
    timed(async () => {
      const { length } = await client.sandboxes.list();
      if (length !== COUNT) throw new Error(`${length} sandboxes are listed, not ${COUNT}`);
    });
  // Both ends have just started: their code is compiled by what comes first.
  await repeat(WARM_UP, world.signal, list);
  const samples = await repeat(LISTS, world.signal, list);
  return [
    {
      name: `list of ${COUNT} sandboxes, API, p99`,
      ours: figure("ms", [p99(samples)]),
      target: { of: "ours", bound: "at most", value: 15 },
      note: `median ${figure("ms", samples).median.toFixed(1)} ms of ${samples.length}, at the client`,
    },
  ];
}

/** Every listener has heard an event before those that are counted happen; they happen as fast as the daemon makes them. */
export async function measureEvents(world: World): Promise<Row[]> {
  await using daemon = await openRecords(world);
  const { client } = daemon;
  const last = await lastEvent(client);
  const signal = AbortSignal.any([world.signal, AbortSignal.timeout(EVENTS_DEADLINE_MS)]);
  const abort = new AbortController();
  const either = AbortSignal.any([signal, abort.signal]);
  const listeners = Array.from({ length: LISTENERS }, () =>
    listen(client, { since: last - 1, awaited: REMOVED, signal: either }),
  );
  try {
    await Promise.all(listeners.map(({ ready }) => ready));
    const sandboxes = await client.sandboxes.list();
    const start = performance.now();
    const removals = sandboxes.slice(0, REMOVED).map(({ id }) => client.sandboxes.at(id).remove());
    await Promise.race([
      Promise.all(listeners.map(({ done }) => done)),
      new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true })),
    ]);
    const heard = performance.now() - start;
    await Promise.all(removals);
    world.signal.throwIfAborted();
    const lost = listeners.reduce((sum, { lost }) => sum + lost(), 0);
    return [
      {
        name: `events: lost by ${LISTENERS} listeners`,
        ours: figure("events", [lost]),
        target: { of: "ours", bound: "at most", value: 0 },
        note: `${REMOVED} sandboxes removed at once; all had heard of it after ${heard.toFixed(0)} ms`,
      },
    ];
  } finally {
    abort.abort();
  }
}

interface Listener {
  ready: Promise<void>;
  done: Promise<void>;
  /** Events it has not heard, or heard twice. */
  lost(): number;
}

function listen(
  client: Thaw,
  { since, awaited, signal }: { since: number; awaited: number; signal: AbortSignal },
): Listener {
  const ready = Promise.withResolvers<void>();
  const done = Promise.withResolvers<void>();
  const heard = new Set<number>();
  let twice = 0;
  const follow = async (): Promise<void> => {
    for await (const { id, type } of client.events({ since, signal })) {
      ready.resolve();
      if (type !== "sandbox.removed") continue;
      if (heard.has(id)) twice += 1;
      if (heard.add(id).size === awaited) done.resolve();
    }
  };
  follow().catch((error: unknown) => ready.reject(error));
  return { ready: ready.promise, done: done.promise, lost: () => awaited - heard.size + twice };
}

async function lastEvent(client: Thaw): Promise<number> {
  let last = 0;
  for await (const { id } of client.events({ follow: false })) last = id;
  return last;
}

export async function openRecords(world: World): Promise<AsyncDisposable & { client: Thaw }> {
  const { scratch, thaw, signal } = world;
  const home = join(scratch, "records");
  for (let index = 0; index < COUNT; index++) writeRecord(home, recordOf(index, world));
  const env = { ...world.env, THAW_HOME: home };
  const client = new Thaw({ ...findPaths({ ...process.env, ...env }), autostart: false });
  const close = async (): Promise<void> => {
    await client.close();
    await runTimed(thaw("daemon", "stop"), { env, signal: new AbortController().signal });
    rmSync(dirname(client.options.socket), { recursive: true, force: true });
    rmSync(home, { recursive: true, force: true });
  };
  try {
    await runTimed(thaw("daemon", "start"), { env, signal });
  } catch (error) {
    await close().catch(() => {});
    throw error;
  }
  return { client, [Symbol.asyncDispose]: close };
}

function writeRecord(home: string, record: SandboxRecord): void {
  const dir = join(home, "sandboxes", record.id);
  mkdirSync(join(dir, "execs"), { recursive: true });
  writeFileSync(join(dir, "record.json"), `${JSON.stringify(record)}\n`);
}

function recordOf(index: number, { snapshot }: World): SandboxRecord {
  const id = `bench${String(index).padStart(5, "0")}`;
  return sandboxRecord.parse({
    schema: 1,
    ...{ id, name: `job-${index}`, state: "stopped", from: "base", snapshot: snapshot.id, runner: "qemu" },
    ...{ resources: snapshot.resources, defaults: snapshot.defaults },
    labels: { repository: "acme/widgets", run: String(100_000 + index) },
    createdAt: new Date().toISOString(),
    reason: "the guest powered off",
    ...{ leased: false, keep: false, thawMs: 95.5, machine: null },
  });
}
