/** Boots a disk, prepares the machine and freezes it. Every snapshot of a template begins this way. */
import { createReadStream } from "node:fs";
import { chmod, constants, copyFile, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Agent } from "../../runners/agent/agent.ts";
import type { KernelSource, Machine, MachineNeeds, Resources } from "../../runners/runner.ts";
import { EngineError } from "../errors.ts";
import { randomId } from "../ids.ts";
import { mib, type OnProgress, type Phase, phase } from "../progress.ts";
import { packageSources } from "../rootfs/host-apt.ts";
import { suiteOfKernel } from "../rootfs/suites.ts";
import { freshIdentity } from "../sandboxes/identity.ts";
import { type BootContext, endsWith } from "./build-machine.ts";

/** An emulated guest on a busy host boots in seconds, not minutes. */
const BOOT_DEADLINE_MS = 120_000;

export interface BootPlan<T> {
  subject: string;
  /** The disk chain, the lowest layer first. */
  disks: string[];
  resources: Resources;
  kernel: Pick<KernelSource, "suite" | "version">;
  /** Runs in the booted machine right before the freeze. */
  prepare(agent: Agent, signal: AbortSignal): Promise<void>;
  /** The progress phase of the freeze and of `publish`. */
  freeze: Phase<T>;
  publish(draft: string, made: { resources: Resources; needs: MachineNeeds }): Promise<T>;
}

/** Names the kernel that a disk was used with. If this host no longer has that version, the newest kernel of its suite is used. */
export function sameKernel({ kernel }: MachineNeeds): BootPlan<unknown>["kernel"] {
  return { suite: suiteOfKernel(kernel), version: kernel };
}

/** Removes its folder in `builds` when it ends. If the daemon is killed meanwhile, the next start removes the folder. */
export async function bootAndFreeze<T>(
  context: BootContext,
  { subject, disks, resources, kernel: from, prepare, freeze, publish }: BootPlan<T>,
  { onProgress, signal }: { onProgress: OnProgress; signal: AbortSignal },
): Promise<T> {
  const { runner } = context;
  const kernel = await phase(
    onProgress,
    {
      subject: "kernel",
      phase: "fetch",
      detail: (ready: { version: string; cached: boolean }) =>
        `${ready.version}${ready.cached ? " cached" : ""}`,
    },
    () => runner.prepareKernel({ ...from, sources: () => packageSources(from.suite, signal) }, signal),
  );
  const needs = await runner.needs(kernel.kernelDir, signal);
  const id = `build-${randomId()}`;
  const stateDir = join(context.home.builds, id);
  const draft = join(stateDir, "snapshot");
  await mkdir(draft, { recursive: true });
  let machine: Machine | null = null;
  try {
    const target = join(draft, "disk.qcow2");
    const [disk = "", ...layers] = disks;
    if (layers.length === 0) await copyFile(disk, target, constants.COPYFILE_FICLONE);
    else {
      const room = (bytes: number) => context.needDisk(bytes);
      await runner.flattenDisk(disks, target, resources.diskMib, { room, signal });
    }
    // A snapshot's own disk is read-only.
    await chmod(target, 0o600);
    const booted = await phase(
      onProgress,
      {
        subject,
        phase: "boot",
        detail: () =>
          needs.accelerator === "tcg" ? "emulated: no working /dev/kvm here (thaw doctor)" : undefined,
      },
      async () => {
        machine = await runner.boot(
          {
            id,
            stateDir,
            resources,
            kernelDir: kernel.kernelDir,
            disk: { path: target, format: "qcow2" },
            memoryFile: join(draft, "memory"),
          },
          signal,
        );
        return { machine, agent: await greetBooted(machine, signal) };
      },
    );
    const { library } = kernel;
    await endsWith(booted.machine, context, signal, async (whole) => {
      if (library !== null) await giveModules(booted.agent, { subject, ...kernel, library }, onProgress);
      await prepare(booted.agent, whole);
    });
    booted.agent.close();
    return await phase(onProgress, freeze, async () => {
      await booted.machine.freeze(draft);
      return publish(draft, { resources, needs });
    });
  } finally {
    await (machine as Machine | null)?.stop().catch(() => {});
    await rm(stateDir, { recursive: true, force: true });
  }
}

/** Copies the kernel's modules into a guest whose disk does not have them. */
async function giveModules(
  agent: Agent,
  { subject, version, library }: { subject: string; version: string; library: string },
  onProgress: OnProgress,
): Promise<void> {
  const target = `/lib/modules/${version}`;
  const has = await agent.stat(`${target}/modules.dep`).then(
    () => true,
    () => false,
  );
  if (has) return;
  await phase(
    onProgress,
    { subject, phase: "modules", detail: ({ bytes }: { bytes: number }) => mib(bytes) },
    () => agent.treeIn(target, createReadStream(library, { highWaterMark: 2 ** 20 })),
  );
}

async function greetBooted(machine: Machine, signal: AbortSignal): Promise<Agent> {
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  machine.onEnd((end) =>
    failed.reject(new EngineError("build-failed", `the machine ended while it booted: ${end.kind}`)),
  );
  try {
    const agent = machine.agent({
      deadlineMs: BOOT_DEADLINE_MS,
      signal,
      guestIsBetweenFrames: true,
      identity: freshIdentity("thaw-build"),
    });
    agent.catch(() => {});
    return await Promise.race([agent, failed.promise]);
  } catch (error) {
    if (signal.aborted) throw new EngineError("cancelled", "the build was cancelled", { cause: error });
    const text = await machine.console().catch(() => "");
    throw new EngineError("build-failed", (error as Error).message, {
      details: text.trimEnd().split("\n").slice(-20),
      cause: error,
    });
  }
}
