/** A daemon that was killed: until the next one has every sandbox again, and each answers. */
import { readFileSync } from "node:fs";
import { runTimed } from "./command.ts";
import { repeat } from "./interleave.ts";
import { figure, type Row } from "./row.ts";
import { removeAll, type World } from "./world.ts";

const COUNT = 20;

export async function measureAdoption(world: World): Promise<Row[]> {
  const { client, thaw, env, signal } = world;
  try {
    const made = await Promise.all(Array.from({ length: COUNT }, () => client.createSandbox({}, { signal })));
    const samples = await repeat(world.runs(3), signal, async () => {
      const { pid } = await client.getInfo({ signal });
      const start = performance.now();
      process.kill(pid, "SIGKILL");
      while (listens(pid)) await new Promise((resolve) => setTimeout(resolve, 1));
      await runTimed(thaw("daemon", "start"), { env, signal });
      await Promise.all(made.map(({ id }) => client.statFile(id, { path: "/", signal })));
      return performance.now() - start;
    });
    return [
      {
        name: `daemon killed → ${COUNT} sandboxes adopted and answering`,
        ours: figure("ms", samples),
        target: { of: "ours", bound: "at most", value: 1500 },
      },
    ];
  } finally {
    // What failed may have left no daemon.
    await runTimed(thaw("daemon", "start"), { env, signal: new AbortController().signal });
    await removeAll(client);
  }
}

/** A process that is dying accepts connections until it is a zombie. */
function listens(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
