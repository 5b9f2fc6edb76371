/** For how long a sandbox stands still when it is forked or frozen, as the daemon measured it and as seen from outside. */
import { setTimeout as elapse } from "node:timers/promises";
import { dirty, shell } from "./guest.ts";
import { repeat } from "./interleave.ts";
import { median } from "./median.ts";
import { figure, type Row } from "./row.ts";
import { fill, MEMORY_MIB, prepareUsed } from "./used.ts";
import type { World } from "./world.ts";

const DIRTIED_BYTES = 20e6;
const FREEZE_TAG = "bench:frozen";
/** Between two pauses: what follows the last one is over. */
const CALM_MS = 500;
/** A beat each millisecond and some; a guest that stands still is silent. */
const HEARTBEAT = '$| = 1; while (1) { syswrite STDOUT, "."; select undef, undef, undef, 0.001 }';

export async function measureFork(world: World): Promise<Row[]> {
  const { client, signal } = world;
  const { id } = await client.sandboxes.create({ memoryMib: MEMORY_MIB }, { signal });
  try {
    const told: number[] = [];
    const seen = await repeat(world.runs(6), signal, async () => {
      await shell(world, id, dirty(DIRTIED_BYTES));
      return silence(world, id, async () => {
        const { sandboxes, pauseMs, method } = await client.sandboxes.at(id).fork({ count: 1 }, { signal });
        if (method !== "difference") throw new Error("this host can't take differences");
        told.push(pauseMs);
        await Promise.all(sandboxes.map((child) => client.sandboxes.at(child.id).remove()));
      });
    });
    return [
      {
        name: "fork: pause of the source, 20 MB dirtied",
        ours: figure("ms", told.slice(1)),
        target: { of: "ours", bound: "at most", value: 15 },
        note: `the longest silence of a guest that prints each millisecond: ${median(seen).toFixed(0)} ms, what else loads the host included`,
      },
    ];
  } finally {
    await client.sandboxes.at(id).remove();
  }
}

export async function measureFreeze(world: World): Promise<Row[]> {
  const { client, signal } = world;
  await using used = await prepareUsed(world);
  const row = async (name: string, from: typeof used.request, filled: boolean): Promise<Row> => {
    const { id } = await client.sandboxes.create(from, { signal });
    try {
      if (filled) await fill(world, id, used.usedBytes);
      const told: number[] = [];
      const seen = await repeat(world.runs(3), signal, async () => {
        const longest = await silence(world, id, async () => {
          told.push((await client.sandboxes.at(id).freeze(FREEZE_TAG, { signal })).pauseMs);
        });
        await client.snapshots.remove(FREEZE_TAG);
        return longest;
      });
      return {
        name,
        ours: figure("ms", told.slice(1)),
        target: { of: "ours", bound: "at most", value: 60 },
        note: `the longest silence: ${median(seen).toFixed(0)} ms`,
      };
    } finally {
      await client.sandboxes.at(id).remove();
    }
  };
  return [
    await row("live freeze: pause, 200 MB used, calm", used.request, false),
    await row("live freeze: pause, most of 200 MB written since its thaw", { memoryMib: MEMORY_MIB }, true),
  ];
}

/** The longest time that nothing was heard of the guest while `work` went on, ms. */
async function silence(world: World, id: string, work: () => Promise<void>): Promise<number> {
  const { client, signal } = world;
  const exec = await client.sandboxes.at(id).startDetached({ argv: ["perl", "-e", HEARTBEAT] }, { signal });
  let last: number | undefined;
  let longest = 0;
  const stdout = (): void => {
    const now = performance.now();
    longest = Math.max(longest, now - (last ?? now));
    last = now;
  };
  const connection = await client.sandboxes.at(id).execAt(exec.id).attach({ stdout, signal });
  connection.result.catch(() => {});
  try {
    await elapse(CALM_MS, undefined, { signal });
    longest = 0;
    await work();
    return longest;
  } finally {
    await client.sandboxes.at(id).execAt(exec.id).signal("KILL");
    await connection.result;
  }
}
