/** From the request to the agent's answer: against the floor, and against a cold boot of the same disk. */
import { chmod, copyFile, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { CreateRequest } from "../../client/index.ts";
import { createQemuRunner } from "../../runners/qemu/runner.ts";
import { prepareFloor } from "./floor.ts";
import { interleave, repeat } from "./interleave.ts";
import { figure, peer, type Row } from "./row.ts";
import type { World } from "./world.ts";

const BOOT_DEADLINE_MS = 60_000;

/** A create request at the client, over the socket, to its result; the sandbox is removed outside the timing. */
export async function createTimed({ client, signal }: World, request: CreateRequest = {}): Promise<number> {
  const start = performance.now();
  const { id } = await client.sandboxes.create(request, { signal });
  const elapsed = performance.now() - start;
  await client.sandboxes.at(id).remove();
  return elapsed;
}

export async function measureThaw(world: World): Promise<Row[]> {
  const floor = await prepareFloor(world);
  const { signal } = world;
  const samples = await interleave({
    runs: world.runs(20),
    ours: () => createTimed(world),
    against: () => floor.sample(),
    signal,
  });
  return [
    {
      name: "thaw: create → agent answers",
      ours: figure("ms", samples.ours),
      against: peer("bare QEMU", "ms", samples.against),
      target: { of: "ratio", bound: "at most", value: 1.3 },
    },
  ];
}

export async function measureBoot(world: World): Promise<Row[]> {
  const boot = await prepareBoot(world);
  const samples = await interleave({
    runs: world.runs(4),
    ours: async () => {
      const several = await repeat(3, world.signal, () => createTimed(world));
      return several.reduce((sum, value) => sum + value, 0) / several.length;
    },
    against: boot,
    signal: world.signal,
  });
  return [
    {
      name: "thaw, against a cold boot",
      ours: figure("ms", samples.ours),
      against: peer("boot", "ms", samples.against),
      target: { of: "inverse", bound: "at least", value: 25 },
    },
  ];
}

/** Boots from a copy of the snapshot's disk, in the product's jail, and waits for the agent's welcome. */
async function prepareBoot(world: World): Promise<() => Promise<number>> {
  const { home, dist, scratch, snapshot, signal } = world;
  const runtimeRoot = join(scratch, "run");
  await mkdir(runtimeRoot, { mode: 0o711 });
  const agent = (name: string): string => join(dist, "agent", name);
  const runner = createQemuRunner({
    home,
    runtimeRoot,
    agentPath: agent("thaw-agent"),
    sealPath: agent("thaw-seal"),
  });
  const { kernelDir } = await runner.prepareKernel({ suite: "bookworm", sources: async () => null }, signal);
  let count = 0;
  return async () => {
    const id = `boot-${count++}`;
    const stateDir = join(scratch, id);
    await mkdir(stateDir, { mode: 0o711 });
    const disk = { path: join(stateDir, "disk.qcow2"), format: "qcow2" as const };
    await copyFile(join(home, "snapshots", snapshot.id, "disk.qcow2"), disk.path);
    await chmod(disk.path, 0o600);
    const { resources } = snapshot;
    const start = performance.now();
    const machine = await runner.boot({ id, stateDir, resources, kernelDir, disk }, signal);
    try {
      const agent = await machine.agent({ deadlineMs: BOOT_DEADLINE_MS, signal });
      const elapsed = performance.now() - start;
      agent.close();
      return elapsed;
    } finally {
      await machine.stop();
      await rm(stateDir, { recursive: true });
    }
  };
}
