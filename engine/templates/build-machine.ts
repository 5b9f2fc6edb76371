/** Machines that templates are built in. */

import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Agent } from "../../runners/agent/agent.ts";
import { type Machine, type MachineEnd, type Runner, RunnerError } from "../../runners/runner.ts";
import { EngineError } from "../errors.ts";
import type { Home } from "../home.ts";
import { randomId } from "../ids.ts";
import { type Packages, packagesInside } from "../packages/installed.ts";
import { connectAgent, freshIdentity } from "../sandboxes/identity.ts";
import type { Manifest } from "../snapshots/manifest.ts";
import { isWithoutShell, runGuestStep } from "./guest-step.ts";
import type { OpenedStep, Steps } from "./steps.ts";

const HELLO_DEADLINE_MS = 20_000;
/** The room on the host's disk is looked at again each time that a machine has written this much. */
const STRETCH_BYTES = 64 << 20;
/** Commands that read the files that every first exec needs, so that they are in the guest's page cache. */
const ALWAYS_WARM = ["/usr/bin/env true || true", "/bin/sh -c 'cat /proc/uptime' > /dev/null", "sync"];
/**
 * A kernel frees much some ticks after it was let go: the processes of the last commands, their cgroups, files. What is not done by the freeze is
 * done again by each clone, before anything else.
 */
const SETTLING_MS = 300;

export interface BootContext {
  home: Home;
  runner: Runner;
  /** Throws `no-space` when there would be less than the host keeps free. */
  needDisk(bytes?: number): Promise<void>;
}

export interface BuildMachine {
  machine: Machine;
  agent: Agent;
  /** The machine's folder, on the disk of the state folder. */
  stateDir: string;
  signal: AbortSignal;
}

/** Thaws a machine from a kept step and calls `work` with it. The machine is removed when `work` ends. */
export async function inMachineOf<T>(
  context: BootContext & { steps: Steps },
  from: OpenedStep,
  signal: AbortSignal,
  work: (inside: BuildMachine) => Promise<T>,
): Promise<T> {
  const { home, runner, steps } = context;
  const id = `build-${randomId()}`;
  const stateDir = join(home.builds, id);
  await mkdir(stateDir, { recursive: true, mode: 0o711 });
  try {
    const { files: snapshot, difference } = from;
    const machine = await runner
      .thaw({ id, stateDir, snapshot, difference }, signal)
      .catch(async (error: unknown) => {
        // The next build makes it again.
        if (error instanceof RunnerError && error.code === "corrupt-snapshot")
          await steps.remove(from.step.id).catch(() => {});
        throw error;
      });
    try {
      const identity = freshIdentity("thaw-build");
      const hello = { identity, deadlineMs: HELLO_DEADLINE_MS, guestIsBetweenFrames: false };
      return await endsWith(machine, context, signal, async (whole) => {
        const agent = await connectAgent(machine, { ...hello, signal: whole });
        return work({ machine, agent, stateDir, signal: whole });
      });
    } finally {
      await machine.stop();
    }
  } finally {
    await rm(stateDir, { recursive: true, force: true });
  }
}

/** Runs `work`. It is aborted when the machine ends, or when the host's disk has no room left. */
export async function endsWith<T>(
  machine: Machine,
  { runner, needDisk }: Pick<BootContext, "runner" | "needDisk">,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const ended = new AbortController();
  const whole = AbortSignal.any([signal, ended.signal]);
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  whole.addEventListener("abort", () => failed.reject(whole.reason), { once: true });
  machine.onEnd((end) => ended.abort(endError(end)));
  const watch = () => machine.watchDiskGrowth(STRETCH_BYTES).catch(() => {});
  if (runner.capabilities.diskGrowth) {
    machine.onDiskGrowth(() => void needDisk(STRETCH_BYTES).then(watch, (error) => ended.abort(error)));
    await watch();
  }
  try {
    return await Promise.race([work(whole), failed.promise]);
  } catch (error) {
    if (signal.aborted) throw new EngineError("cancelled", "the build was cancelled", { cause: error });
    throw ended.signal.aborted ? ended.signal.reason : error;
  }
}

/**
 * Makes the guest's memory as small as it gets, with everything in it that a first exec needs.
 * @returns the packages that the machine has; null when it has no package manager that is known
 */
export async function warmUp(
  agent: Agent,
  { warm, defaults: { env, user, workdir } }: Pick<Manifest, "warm" | "defaults">,
  signal: AbortSignal,
): Promise<Packages | null> {
  const packages = await packagesInside(agent, signal);
  await agent.quiesce();
  const run = (text: string) =>
    runGuestStep(agent, { name: text, run: text, env, user, cwd: workdir }, () => {}, signal);
  for (const text of warm) await run(text);
  for (const text of ALWAYS_WARM)
    await run(text).catch((error: unknown) => {
      if (!isWithoutShell(error)) throw error;
    });
  await pause(SETTLING_MS, undefined, { signal });
  return packages;
}

function endError(end: MachineEnd): EngineError {
  if (end.kind === "disk-full")
    return new EngineError("no-space", end.detail, {
      hint: "thaw prune; thaw df; what was finished is kept: build again once there is room",
    });
  const detail = "detail" in end ? `: ${end.detail}` : "";
  return new EngineError(
    "build-failed",
    `the machine ended while its template was built: ${end.kind}${detail}`,
  );
}
