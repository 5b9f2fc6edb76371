/** What the SDK costs beside the plainest way to do the same. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runTimed } from "./command.ts";
import { interleave } from "./interleave.ts";
import { modulesOf } from "./modules.ts";
import { figure, peer, type Row } from "./row.ts";
import type { World } from "./world.ts";

const MEGABYTES = 100;
const ARGV = ["head", "-c", `${MEGABYTES}000000`, "/dev/zero"];

export async function measureSdk(world: World): Promise<Row[]> {
  await using sandbox = await world.client.sandboxes.create({}, { signal: world.signal });
  return [
    await measureOneCall(world, sandbox),
    await measureIterator(world, sandbox),
    ...(await measureImport(world)),
  ];
}

type Sandbox = Awaited<ReturnType<World["client"]["sandboxes"]["create"]>>;

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

async function measureOneCall({ runs, signal }: World, sandbox: Sandbox): Promise<Row> {
  const samples = await interleave({
    runs: runs(20),
    ours: () => timed(() => sandbox.exec(["true"], { signal })),
    against: () =>
      timed(async () => {
        const exec = await sandbox.start(["true"], { signal });
        await (await exec.attach({ signal })).result;
      }),
    signal,
  });
  return {
    name: "exec in one call, SDK",
    ours: figure("ms", samples.ours),
    against: peer("over the WebSocket", "ms", samples.against),
    target: { of: "ratio", bound: "at most", value: 1 },
  };
}

async function measureIterator({ runs, signal }: World, sandbox: Sandbox): Promise<Row> {
  const rate = (ms: number): number => (MEGABYTES * 1000) / ms;
  const samples = await interleave({
    runs: runs(4),
    ours: async () => {
      const exec = await sandbox.start(ARGV, { signal });
      return rate(
        await timed(async () => {
          for await (const _chunk of exec.stdout);
        }),
      );
    },
    against: async () => {
      const exec = await sandbox.start(ARGV, { signal });
      return rate(
        await timed(async () => (await exec.attach({ stdin: true, stdout: () => {}, signal })).result),
      );
    },
    signal,
  });
  return {
    name: "stdout through the SDK's iterator",
    ours: figure("MB/s", samples.ours),
    against: peer("raw channel", "MB/s", samples.against),
    target: { of: "ratio", bound: "at least", value: 0.8 },
  };
}

async function measureImport({ dist, env, runs, signal }: World): Promise<Row[]> {
  const entry = join(dist, "client.mjs");
  const samples = await interleave({
    runs: runs(20),
    ours: () => runTimed([process.execPath, entry], { env, signal }),
    against: () => runTimed([process.execPath, "-e", "0"], { env, signal }),
    signal,
  });
  const bytes = [...modulesOf(entry)].reduce((sum, path) => sum + readFileSync(path).length, 0);
  return [
    {
      name: "import of the SDK",
      ours: figure("ms", samples.ours),
      against: peer("node -e 0", "ms", samples.against),
      target: { of: "ratio", bound: "at most", value: 1.5 },
    },
    {
      name: "what an import of the SDK loads",
      ours: figure("MiB", [bytes / 2 ** 20]),
      target: { of: "ours", bound: "at most", value: 400 / 1024 },
    },
  ];
}
