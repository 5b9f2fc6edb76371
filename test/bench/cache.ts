/** Folders of an earlier run, there at once, against the same folder copied in. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type CacheRequest, collectWorkspace, packTree } from "../../client/index.ts";
import { repeat, timed } from "./interleave.ts";
import { median } from "./median.ts";
import { figure, peer, type Row } from "./row.ts";
import { writeTree } from "./tree.ts";
import type { World } from "./world.ts";

const PARTS = 2;
const cache: CacheRequest = {
  ...{ repository: "bench", read: ["main"], write: "main", key: "bench", restoreKeys: [] },
  paths: ["/cached"],
};

export async function measureCache(world: World): Promise<Row[]> {
  const { client, scratch, signal } = world;
  const folder = join(scratch, "cached");
  mkdirSync(folder);
  let bytes = 0;
  for (let part = 0; part < PARTS; part++) bytes += writeTree(join(folder, `part-${part}`)).bytes;
  const { entries } = await collectWorkspace(folder, { signal });
  const copyInto = async (id: string): Promise<unknown> =>
    client.sandboxes.at(id).files.writeTree("/cached", () => packTree(entries, { signal }), { signal });

  for (const { id } of await client.caches.list()) await client.caches.remove(id);
  const first = await client.sandboxes.create({ cache }, { signal });
  await copyInto(first.id);
  const keptMs = await timed(() => first.saveCache({ signal }));
  await first.remove();

  const samples: Record<"plain" | "cached" | "copied", number[]> = { plain: [], cached: [], copied: [] };
  const look = ["sh", "-c", "ls /cached/*/src/* >/dev/null"];
  /** To the end of a first command that looks at the folder. */
  const run = async (kind: keyof typeof samples): Promise<number> => {
    const start = performance.now();
    const sandbox = await client.sandboxes.create(kind === "cached" ? { cache } : {}, { signal });
    if (kind === "copied") await copyInto(sandbox.id);
    await sandbox.exec(kind === "plain" ? ["sh", "-c", "ls / >/dev/null"] : look, { signal });
    const elapsed = performance.now() - start;
    await sandbox.remove();
    return elapsed;
  };
  await repeat(world.runs(4), signal, async () => {
    for (const kind of ["plain", "cached", "copied"] as const) samples[kind].push(await run(kind));
    return 0;
  });
  const plain = median(samples.plain.slice(1));
  const beyond = (all: number[]): number[] => all.slice(1).map((ms) => ms - plain);
  return [
    {
      name: "a second run with a cache, beyond a run without one",
      ours: figure("ms", beyond(samples.cached)),
      against: peer("copying the folder in", "ms", beyond(samples.copied)),
      target: { of: "inverse", bound: "at least", value: 5 },
      note: `${(bytes / 1e6).toFixed(0)} MB in ${entries.length} entries; keeping them took ${keptMs.toFixed(0)} ms`,
    },
  ];
}
