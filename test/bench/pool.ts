/** A sandbox that is claimed from a pool: against one that is thawed, and against a container of the same files. */
import { setTimeout as pause } from "node:timers/promises";
import { runTimed } from "./command.ts";
import { interleave, timed } from "./interleave.ts";
import { preparePodman } from "./podman.ts";
import { figure, peer, type Row } from "./row.ts";
import type { World } from "./world.ts";

const LOOK_MS = 20;
/** A spare that has just been made is still being paused by its host. */
const SETTLE_MS = 300;

export async function measurePool(world: World): Promise<Row[]> {
  const { client, thaw, env, signal } = world;
  const firstCommand = async (): Promise<number> => {
    const elapsed = await timed(async () => {
      const sandbox = await client.sandboxes.create({}, { signal });
      const exec = await sandbox.start(["true"], { signal });
      await exec.wait({ signal });
    });
    for (const { id } of await client.sandboxes.list()) await client.sandboxes.at(id).remove();
    return elapsed;
  };
  try {
    const claims = await interleave({
      runs: world.runs(15),
      ours: () => withPool(world, 1).then(firstCommand),
      against: () => withPool(world, 0).then(firstCommand),
      signal,
    });
    const rows: Row[] = [
      {
        name: "pool: claim → first command's exit",
        ours: figure("ms", claims.ours),
        against: peer("fresh thaw", "ms", claims.against),
        target: { of: "inverse", bound: "at least", value: 5 },
      },
    ];
    await using container = await preparePodman(world);
    const runs = await interleave({
      runs: world.runs(15),
      ours: () => withPool(world, 1).then(() => runTimed(thaw("run", "--", "true"), { env, signal })),
      against: () => container.run("true"),
      signal,
    });
    rows.push({
      name: "thaw run -- true, whole process, pool of one",
      ours: figure("ms", runs.ours),
      against: peer("podman run", "ms", runs.against),
      target: { of: "ratio", bound: "at most", value: 0.6 },
    });
    const fresh = await interleave({
      runs: world.runs(15),
      ours: () => withPool(world, 0).then(() => runTimed(thaw("run", "--", "true"), { env, signal })),
      against: () => container.run("true"),
      signal,
    });
    rows.push({
      name: "the same without a pool",
      ours: figure("ms", fresh.ours),
      against: peer("podman run", "ms", fresh.against),
      target: { of: "ratio", bound: "at most", value: 1.5 },
    });
    return rows;
  } finally {
    await client.pools.setMode("off");
  }
}

/** Until its spares are ready, and the host is at rest. */
async function withPool({ client, signal }: World, size: number): Promise<void> {
  await client.pools.resize("base", { size });
  const isReady = async (): Promise<boolean> =>
    (await client.pools.list()).pools.every((pool) => pool.ready === pool.size);
  while (!(await isReady())) await pause(LOOK_MS, undefined, { signal });
  await pause(SETTLE_MS, undefined, { signal });
}
