/** What a machine's keeper costs: its memory, and the time from its start to its machine's, against starting the machine's program alone. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { Keeper, startKeeper } from "../../runners/host/keeper.ts";
import { KeeperStarter } from "../../runners/host/starter.ts";
import { interleave } from "./interleave.ts";
import { median } from "./median.ts";
import { figure, peer, type Row } from "./row.ts";
import { removeAll, type World } from "./world.ts";

const MIB = 2 ** 20;
const KIB = 1024;

export async function measureKeeper(world: World): Promise<Row[]> {
  const runtimeRoot = join(world.scratch, "keep");
  await mkdir(runtimeRoot, { mode: 0o700 });
  const keeperPath = join(world.dist, "agent", "thaw-keeper");
  const starter = new KeeperStarter(keeperPath);
  const tools = { keeperPath, starter, cgroup: "thaw-bench", runtimeRoot };
  let count = 0;
  const samples = await interleave({
    runs: world.runs(30),
    ours: () => startKept(tools, `keep-${count++}`, world.signal),
    against: startAlone,
    signal: world.signal,
  });
  return [
    {
      name: "keeper: added to a thaw",
      ours: figure("ms", [median(samples.ours) - median(samples.against)]),
      against: peer("the jailed program alone", "ms", samples.against),
      target: { of: "ours", bound: "at most", value: 5 },
      note: "start of the keeper, folder, cgroup, uid, jail; the program is waited for in both",
    },
    await measureMemory(world),
  ];
}

/** From the spawn until the program runs in the jail, as the daemon sees it. */
async function startKept(
  tools: Parameters<typeof startKeeper>[0],
  id: string,
  signal: AbortSignal,
): Promise<number> {
  const dir = join(tools.runtimeRoot, id);
  const limits = { memoryBytes: 64 * MIB, processes: 16, cpus: 1, fileBytes: MIB };
  const start = performance.now();
  await startKeeper(
    tools,
    {
      ...{ id, dir, cgroup: tools.cgroup, jailed: true, kvm: false, bindings: [], own: [], inherit: [] },
      ...{ limits, command: ["/usr/bin/sleep", "60"] },
    },
    signal,
  );
  const elapsed = performance.now() - start;
  await new Keeper(tools, { id, runtimeDir: dir }).end();
  return elapsed;
}

async function startAlone(): Promise<number> {
  const start = performance.now();
  const child = spawn("/usr/bin/sleep", ["60"], { stdio: "ignore" });
  await new Promise((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", reject);
  });
  const elapsed = performance.now() - start;
  child.kill("SIGKILL");
  await new Promise((resolve) => child.once("exit", resolve));
  return elapsed;
}

/** Proportional share of one of several keepers: what the program's file takes is shared among them. */
async function measureMemory({ client, signal }: World): Promise<Row> {
  try {
    for (let made = 0; made < 3; made++) await client.sandboxes.create({}, { signal });
    const samples: number[] = [];
    for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
      const pss = pssOfKeeper(pid);
      if (pss !== undefined) samples.push(pss / MIB);
    }
    return {
      name: "keeper: memory (PSS)",
      ours: figure("MiB", samples),
      target: { of: "ours", bound: "at most", value: 2 },
    };
  } finally {
    await removeAll(client);
  }
}

function pssOfKeeper(pid: string): number | undefined {
  try {
    if (readFileSync(`/proc/${pid}/comm`, "utf8").trim() !== "thaw-keeper") return undefined;
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1]) * KIB;
  } catch {
    return undefined;
  }
}
