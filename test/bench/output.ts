/** Bytes from a command in the guest to a client: through the command line, and through the client library. */
import type { ExecHandlers } from "../../client/index.ts";
import { runTimed } from "./command.ts";
import { interleave } from "./interleave.ts";
import { figure, type Row, type Target } from "./row.ts";
import type { World } from "./world.ts";

const MEGABYTES = 400;
const ARGV = ["head", "-c", `${MEGABYTES}000000`, "/dev/zero"];
const TARGET: Target = { of: "ours", bound: "at least", value: 100 };

export async function measureOutput(world: World): Promise<Row[]> {
  const { thaw, env, signal } = world;
  const runs = world.runs(4);
  const throughCli = (argv: string[], megabytes: number): Promise<number> =>
    counted(megabytes, (onStdout) => runTimed(thaw("run", "--", ...argv), { env, signal, onStdout }));
  const cli = await interleave({
    runs,
    ours: () => throughCli(ARGV, MEGABYTES),
    against: () => throughCli(["true"], 0),
    signal,
  });
  const library = await throughLibrary(world, runs);
  const { rssBytes } = await world.client.host.info({ signal });
  return [
    { name: "stdout, guest → thaw run", ours: figure("MB/s", rates(cli)), target: TARGET },
    { name: "stdout, guest → client library", ours: figure("MB/s", rates(library)), target: TARGET },
    { name: "daemon after all that output (RSS)", ours: figure("MiB", [rssBytes / 2 ** 20]) },
  ];
}

/** Megabytes per second of what the bytes took beyond an empty run. */
function rates({ ours, against }: { ours: number[]; against: number[] }): number[] {
  return ours.map((ms, index) => (MEGABYTES * 1000) / (ms - (against[index] ?? 0)));
}

async function throughLibrary(
  { client, signal }: World,
  runs: number,
): Promise<{ ours: number[]; against: number[] }> {
  const { id } = await client.sandboxes.create({}, { signal });
  const run = (argv: string[], megabytes: number): Promise<number> =>
    counted(megabytes, async (stdout) => {
      const start = performance.now();
      const exec = await client.sandboxes.at(id).startDetached({ argv }, { signal });
      const handlers: ExecHandlers = { stdout: (chunk) => void stdout(Buffer.from(chunk)), signal };
      const reference = client.sandboxes.at(id).execAt(exec.id);
      await (await reference.attach({ stdin: true, ...handlers })).result;
      return performance.now() - start;
    });
  try {
    return await interleave({
      runs,
      ours: () => run(ARGV, MEGABYTES),
      against: () => run(["true"], 0),
      signal,
    });
  } finally {
    await client.sandboxes.at(id).remove();
  }
}

/** Rejects when not every byte came. */
async function counted(
  megabytes: number,
  work: (onStdout: (chunk: Buffer) => void) => Promise<number>,
): Promise<number> {
  let bytes = 0;
  const ms = await work((chunk) => {
    bytes += chunk.length;
  });
  if (bytes !== megabytes * 1e6) throw new Error(`${bytes} bytes came instead of ${megabytes} MB`);
  return ms;
}
