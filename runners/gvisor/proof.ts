/**
 * Whether gVisor works on this host, proven by a small machine that has nothing but the agent: it is booted, told something, checkpointed while
 * it goes on, and restored from that. What was proven holds for the build of runsc, the host's kernel and the CPU.
 */
import { copyFile, mkdir, mkdtemp, rm } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { Mark } from "../agent/mark.ts";
import { Proof, type Verdict } from "../host/proof.ts";
import { runTool } from "../host/tool.ts";
import type { Machine, MachineNeeds } from "../runner.ts";
import { AGENT_IN_IMAGE } from "./bundle.ts";
import type { Context } from "./context.ts";
import { cpuFeatures, PLATFORM } from "./facts.ts";
import { mkfsArgv } from "./image.ts";
import { start } from "./start.ts";

const MARK_PATH = "/mark";
const RESOURCES = { cpus: 1, memoryMib: 64, diskMib: 64 };

export function hostProof(context: Context): Proof<object> {
  return new Proof({
    home: context.home,
    section: "gvisor",
    untried: "no sandbox has been checkpointed and restored yet",
    key: async () => [(await context.facts()).build, release(), await cpuFeatures()].join(" | "),
    parse: () => ({}),
  });
}

/** What is known; when nothing is, it is found out now. Rejects for `signal`, and when runsc is missing or too old. */
export function proveHost(
  context: Context,
  proof: Proof<object>,
  signal?: AbortSignal,
): Promise<Verdict<object>> {
  return proof.prove(async () => {
    await mkdir(context.home, { recursive: true });
    const dir = await mkdtemp(join(context.home, ".gvisor-"));
    try {
      await prove(context, dir, signal);
      return {};
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  }, signal);
}

async function prove(context: Context, dir: string, signal: AbortSignal | undefined): Promise<void> {
  const tree = join(dir, "tree");
  const root = join(dir, "root.erofs");
  for (const folder of ["proc", "sys", "dev", "run", "tmp", "etc"])
    await mkdir(join(tree, folder), { recursive: true });
  await copyFile(context.agentPath, join(tree, AGENT_IN_IMAGE));
  await runTool("mkfs.erofs", mkfsArgv({ tree, image: root }), {
    timeoutMs: 30_000,
    debianPackage: "erofs-utils",
    signal,
  });
  const { build } = await context.facts();
  const needs: MachineNeeds = {
    ...{ runner: "gvisor", build, accelerator: PLATFORM, machine: "gvisor", kernel: "gvisor" },
    ...{ cpu: "", devices: "" },
  };
  const machines: Machine[] = [];
  const begin = async (index: number, from?: { memory: string; state: string }): Promise<Machine> => {
    const stateDir = join(dir, String(index));
    await mkdir(stateDir);
    const id = `proof-${process.pid}-${index}`;
    const machine = await start(context, { id, stateDir, resources: RESOURCES, needs, root, from }, signal);
    machines.push(machine);
    return machine;
  };
  try {
    const source = await begin(1);
    const mark = new Mark(MARK_PATH, signal);
    const agent = await mark.write(source);
    const taken = join(dir, "taken");
    await mkdir(taken);
    await source.takeDifference(taken, { signal });
    await mark.check(agent, "the machine that was checkpointed");
    const restored = await begin(2, { memory: join(taken, "pages"), state: join(taken, "devices") });
    await mark.checkIn(restored, "the machine that was restored");
  } finally {
    for (const machine of machines) await machine.stop().catch(() => {});
  }
}
