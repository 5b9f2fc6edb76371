/** A short command that failed, run again twenty times. */

import { runInGuest } from "./guest.ts";
import { timed } from "./interleave.ts";
import { figure, type Row } from "./row.ts";
import type { World } from "./world.ts";

const COUNT = 20;
const JOBS = 2;
const ARGV = ["sh", "-c", "sleep 0.1; exit 1"];

export async function measureRerun(world: World): Promise<Row[]> {
  const { client, signal } = world;
  const { id: sandbox } = await client.sandboxes.create({}, { signal });
  let capture: string | undefined;
  try {
    const { exec } = await runInGuest(world, sandbox, { argv: ARGV, capture: "on-failure" });
    if (exec.captured === null || "error" in exec.captured)
      throw new Error(`not captured: ${exec.captured?.error}`);
    capture = exec.captured.id;
    const { id } = await client.captures.get(capture, { signal });
    const elapsed = await timed(async () => {
      const { failed } = await client.captures.rerun(id, { count: COUNT, jobs: JOBS }, { signal });
      if (failed !== COUNT) throw new Error(`${failed} of ${COUNT} runs failed`);
    });
    return [
      {
        name: `rerun -n ${COUNT} -j ${JOBS} of a 100 ms command`,
        ours: figure("s", [elapsed / 1000]),
        target: { of: "ours", bound: "at most", value: 20 },
      },
    ];
  } finally {
    await client.sandboxes.at(sandbox).remove();
    if (capture !== undefined) await client.captures.remove(capture);
  }
}
