/** A daemon that was killed: until the next one lists every sandbox, and until each of them answers. */
import { readFileSync } from "node:fs";
import { runTimed } from "./command.ts";
import { repeat } from "./interleave.ts";
import { figure, type Row } from "./row.ts";
import { removeAll, type World } from "./world.ts";

const COUNT = 100;
/** Thaws at the same time, while they are made. */
const MAKERS = 4;

export async function measureAdoption(world: World): Promise<Row[]> {
  const { client, thaw, env, signal } = world;
  try {
    const made = await makeAll(world);
    const [listed, answering]: [number[], number[]] = [[], []];
    await repeat(world.runs(3), signal, async () => {
      const { pid } = await client.host.info({ signal });
      process.kill(pid, "SIGKILL");
      while (listens(pid)) await new Promise((resolve) => setTimeout(resolve, 1));
      const start = performance.now();
      await runTimed(thaw("daemon", "start"), { env, signal });
      const { length } = await client.sandboxes.list({ signal });
      if (length !== COUNT) throw new Error(`${length} sandboxes are listed, not ${COUNT}`);
      listed.push(performance.now() - start);
      await Promise.all(made.map((id) => client.sandboxes.at(id).files.stat("/", { signal })));
      answering.push(performance.now() - start);
      return performance.now() - start;
    });
    return [
      {
        name: `daemon killed → the next lists ${COUNT} sandboxes`,
        ours: figure("ms", listed),
        target: { of: "ours", bound: "at most", value: 300 },
        note: "with the start of Node and of the command that starts the daemon",
      },
      {
        name: `daemon killed → ${COUNT} sandboxes adopted and answering`,
        ours: figure("ms", answering),
        target: { of: "ours", bound: "at most", value: 3000 },
      },
    ];
  } finally {
    // What failed may have left no daemon.
    await runTimed(thaw("daemon", "start"), { env, signal: new AbortController().signal });
    await removeAll(client);
  }
}

/** @returns their ids */
async function makeAll({ client, signal }: World): Promise<string[]> {
  const ids: string[] = [];
  const make = async (): Promise<void> => {
    for (let left = COUNT / MAKERS; left > 0; left--)
      ids.push((await client.sandboxes.create({}, { signal })).id);
  };
  await Promise.all(Array.from({ length: MAKERS }, make));
  return ids;
}

/** A process that is dying accepts connections until it is a zombie. */
function listens(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
