/** Twenty sandboxes: thawed at once, and what each of them and the daemon keep of the host's memory. */
import { repeat, timed } from "./interleave.ts";
import { figure, type Row } from "./row.ts";
import { removeAll, type World } from "./world.ts";

const COUNT = 20;
const MIB = 2 ** 20;

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
