/** A folder on the host, into a sandbox. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { collectWorkspace, packTree } from "../../client/index.ts";
import { runTimed } from "./command.ts";
import { interleave, repeat } from "./interleave.ts";
import { figure, type Row } from "./row.ts";
import { writeTree } from "./tree.ts";
import type { World } from "./world.ts";

export async function measureWorkspace(world: World): Promise<Row[]> {
  const { scratch, thaw, env, signal } = world;
  const folder = join(scratch, "workspace");
  mkdirSync(folder);
  const { bytes, files } = writeTree(folder);
  const megabytes = bytes / 1e6;
  const runs = world.runs(4);
  const uploads = await repeat(runs, signal, () => uploadTimed(world, folder));
  const whole = await interleave({
    runs,
    ours: () => runTimed(thaw("run", "--workspace", folder, "--", "true"), { env, signal }),
    against: () => runTimed(thaw("run", "--", "true"), { env, signal }),
    signal,
  });
  const extra = whole.ours.map((ms, index) => ms - (whole.against[index] ?? 0));
  const rate = (ms: number): number => (megabytes * 1000) / ms;
  return [
    {
      name: "workspace in: the upload",
      ours: figure("MB/s", uploads.map(rate)),
      target: { of: "ours", bound: "at least", value: 60 },
      note: `${megabytes.toFixed(0)} MB in ${files} files`,
    },
    {
      name: "workspace in: thaw run --workspace",
      ours: figure("MB/s", extra.map(rate)),
      note: "what it takes beyond a run without one, choosing the files included",
    },
  ];
}

/** Packing, sending and unpacking, to the answer that all of it is there; in a fresh sandbox each time. */
async function uploadTimed({ client, signal }: World, folder: string): Promise<number> {
  const { entries } = await collectWorkspace(folder, { signal });
  const { id } = await client.sandboxes.create({}, { signal });
  try {
    const start = performance.now();
    const sent = await client.sandboxes
      .at(id)
      .files.writeTree("/workspace", () => packTree(entries, { signal }), { signal });
    const elapsed = performance.now() - start;
    if (sent.entries !== entries.length) throw new Error(`${sent.entries} of ${entries.length} entries came`);
    return elapsed;
  } finally {
    await client.sandboxes.at(id).remove();
  }
}
