/** Many sandboxes: thawed or forked at once, and what each of them and the daemon use of the host. */
import { setTimeout as elapse } from "node:timers/promises";
import { repeat, timed } from "./interleave.ts";
import { cpuMsOf } from "./process-use.ts";
import { figure, type Row } from "./row.ts";
import { removeAll, type World } from "./world.ts";

const COUNT = 20;
const MIB = 2 ** 20;
const ALIVE = 100;
const WINDOW_MS = 10_000;
/** What a thaw sets off in the guests is over by then. */
const SETTLE_MS = 5_000;

export async function measureBurst(world: World): Promise<Row[]> {
  const { client, signal } = world;
  const samples = await repeat(world.runs(3), signal, async () => {
    try {
      return await timed(() =>
        Promise.all(Array.from({ length: COUNT }, () => client.sandboxes.create({}, { signal }))),
      );
    } finally {
      await removeAll(client);
    }
  });
  return [
    {
      name: `${COUNT} thawed at once`,
      ours: figure("ms", samples),
      target: { of: "ours", bound: "at most", value: 3000 },
    },
  ];
}

/** Memory is counted from half of them to all: what one more costs, not what the first one does. */
export async function measureMemory({ client, signal }: World): Promise<Row[]> {
  try {
    const half = await pssOfPaused(client, COUNT / 2, signal);
    const all = await pssOfPaused(client, COUNT, signal);
    const { rssBytes } = await client.host.info({ signal });
    return [
      {
        name: "memory per extra paused sandbox",
        ours: figure("MiB", [(all - half) / (COUNT / 2) / MIB]),
        target: { of: "ours", bound: "at most", value: 40 },
        note: `${(all / MIB).toFixed(0)} MiB for ${COUNT} (PSS)`,
      },
      {
        name: `daemon with ${COUNT} sandboxes (RSS)`,
        ours: figure("MiB", [rssBytes / MIB]),
        target: { of: "ours", bound: "at most", value: 150 },
      },
    ];
  } finally {
    await removeAll(client);
  }
}

/** A parent and its children, a hundred in all: how soon they answer, and what they use while they do nothing. */
export async function measureHundred({ client, signal }: World): Promise<Row[]> {
  const parent = await client.sandboxes.create({}, { signal });
  try {
    const forkMs = await timed(async () => {
      const { sandboxes } = await parent.fork({ count: ALIVE - 1 }, { signal });
      await Promise.all(sandboxes.map(({ files }) => files.stat("/", { signal })));
    });
    await elapse(SETTLE_MS, undefined, { signal });
    const before = await useOfAll(client, signal);
    const start = performance.now();
    await elapse(WINDOW_MS, undefined, { signal });
    const after = await useOfAll(client, signal);
    const cores = (after.cpuMs - before.cpuMs) / (performance.now() - start);
    return [
      {
        name: `${ALIVE} alive: fork → all answer`,
        ours: figure("ms", [forkMs]),
        target: { of: "ours", bound: "at most", value: 6_000 },
      },
      {
        name: `${ALIVE} alive: idle CPU, with the daemon`,
        ours: figure("cores", [cores]),
        target: { of: "ours", bound: "at most", value: 0.3 },
      },
      {
        name: `${ALIVE} alive: memory (PSS), with the daemon`,
        ours: figure("MiB", [after.bytes / MIB]),
        target: { of: "ours", bound: "at most", value: 3_000 },
        note: "each has answered one request",
      },
    ];
  } finally {
    await removeAll(client);
  }
}

async function useOfAll(
  client: World["client"],
  signal: AbortSignal,
): Promise<{ cpuMs: number; bytes: number }> {
  const sandboxes = await client.sandboxes.list({ signal });
  const stats = await Promise.all(sandboxes.map((sandbox) => sandbox.stats({ signal })));
  const { pid, rssBytes } = await client.host.info({ signal });
  return {
    cpuMs: stats.reduce((sum, { cpuMs }) => sum + cpuMs, cpuMsOf(pid)),
    bytes: stats.reduce((sum, { pssBytes }) => sum + pssBytes, rssBytes),
  };
}

/** Tops up to `count` paused sandboxes; bytes they share out among them. */
async function pssOfPaused(client: World["client"], count: number, signal: AbortSignal): Promise<number> {
  for (let have = (await client.sandboxes.list({ signal })).length; have < count; have++) {
    const { id } = await client.sandboxes.create({}, { signal });
    await client.sandboxes.at(id).pause({ signal });
  }
  const sandboxes = await client.sandboxes.list({ signal });
  const stats = await Promise.all(sandboxes.map(({ id }) => client.sandboxes.at(id).stats({ signal })));
  return stats.reduce((sum, { pssBytes }) => sum + pssBytes, 0);
}
