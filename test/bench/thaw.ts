/** From the request to the agent's answer: against the floor, and against a cold boot of the same disk. */
import { chmod, copyFile, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { CreateRequest } from "../../client/index.ts";
import { runGuestStep } from "../../engine/templates/guest-step.ts";
import type { Agent } from "../../runners/agent/agent.ts";
import { createQemuRunner } from "../../runners/qemu/runner.ts";
import { prepareFloor } from "./floor.ts";
import { interleave, repeat } from "./interleave.ts";
import { median } from "./median.ts";
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
  const phases: BootPhases[] = [];
  const prepared = await prepareBoot(world);
  const boot = async (): Promise<number> => {
    const { ms, ...rest } = await prepared();
    phases.push(rest);
    return ms;
  };
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
    {
      name: "cold boot of base",
      ours: figure("ms", samples.against),
      target: { of: "ours", bound: "at most", value: 2_000 },
      note: describePhases(phases),
    },
  ];
}

/** Milliseconds, one after the other. */
interface BootPhases {
  /** Until its control socket answers. */
  qemu: number;
  /** Until the kernel's clock starts. */
  firmware: number;
  /** Until it runs the initramfs's `/init`. */
  kernel: number;
  /** Until the agent's welcome: modules, mounts, and the agent itself. */
  init: number;
}

function describePhases(phases: readonly BootPhases[]): string {
  const names = ["qemu", "firmware", "kernel", "init"] as const;
  const medianOf = (name: keyof BootPhases) => median(phases.map((one) => one[name])).toFixed(0);
  return names.map((name) => `${name} ${medianOf(name)}`).join(", ");
}

/** What the guest's kernel says of its boot. @param welcomedAt by `performance.now` */
async function askKernel(agent: Agent, welcomedAt: number): Promise<{ initMs: number; welcomeMs: number }> {
  const lines: string[] = [];
  let toldAt = 0;
  const run = "cut -d' ' -f1 /proc/uptime; dmesg";
  await runGuestStep(agent, { name: "ask", run, env: {} }, (line) => {
    if (toldAt === 0) toldAt = performance.now();
    lines.push(line);
  });
  const uptimeMs = Number(lines[0]) * 1000;
  const init = lines.flatMap((line) => /^\[ *([\d.]+)\] Run \/init as init process/.exec(line)?.[1] ?? []);
  return { initMs: Number(init[0]) * 1000, welcomeMs: uptimeMs - (toldAt - welcomedAt) };
}

/** Boots from a copy of the snapshot's disk, in the product's jail, and waits for the agent's welcome. */
async function prepareBoot(world: World): Promise<() => Promise<BootPhases & { ms: number }>> {
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
      const qemu = performance.now() - start;
      const agent = await machine.agent({ deadlineMs: BOOT_DEADLINE_MS, signal });
      const welcomedAt = performance.now();
      const ms = welcomedAt - start;
      const { initMs, welcomeMs } = await askKernel(agent, welcomedAt);
      agent.close();
      return { ms, qemu, firmware: ms - qemu - welcomeMs, kernel: initMs, init: welcomeMs - initMs };
    } finally {
      await machine.stop();
      await rm(stateDir, { recursive: true });
    }
  };
}
