/** The line of `thaw doctor` about gVisor. Nothing is booted; what a boot proves is recalled. */
import { findTool } from "../host/find-tool.ts";
import { limitsMechanism } from "../host/keeper.ts";
import type { Proof } from "../host/proof.ts";
import { type Probe, RunnerError } from "../runner.ts";
import type { Context } from "./context.ts";
import { PLATFORM } from "./facts.ts";

/** Never throws. Not fatal: machines can be made by another runner. */
export async function probe(context: Context, proof: Proof<object>): Promise<Probe[]> {
  const about = { name: "gvisor", fatal: false } as const;
  try {
    return [{ ...about, ...(await find(context, proof)) }];
  } catch (error) {
    const { message } = error as Error;
    const hint = error instanceof RunnerError && error.hint !== undefined ? { hint: error.hint } : {};
    return [{ ...about, state: "warning", detail: message, ...hint }];
  }
}

async function find(context: Context, proof: Proof<object>): Promise<Omit<Probe, "name" | "fatal">> {
  const { build, path } = await context.facts();
  const unable = await whyUnable(context);
  if (unable !== null) return { state: "warning", ...unable };
  const verdict = await proof.recall();
  const what = `${build}, ${PLATFORM}, ${path}`;
  if (verdict.state === "works") {
    const when = verdict.at === null ? "" : ` at ${verdict.at}`;
    return {
      state: "ok",
      detail: `${what}; a checkpoint was restored${when}; fast without KVM: thaw run --runner gvisor`,
    };
  }
  if (verdict.state === "unproven")
    return {
      state: "warning",
      detail: `${what}: not tested yet; the first use tests it: ${verdict.reason}`,
      hint: "thaw run --runner gvisor -- true",
    };
  return { state: "warning", detail: `${what}: does not work here: ${verdict.reason}` };
}

/** Throws why this host can't make sandboxes. Nothing is booted: a test that failed is recalled. */
export async function needHost(context: Context, proof: Proof<object>): Promise<void> {
  await context.facts();
  const unable = await whyUnable(context);
  if (unable !== null) throw new RunnerError("unsupported", unable.detail, { hint: unable.hint });
  const verdict = await proof.recall();
  if (verdict.state === "broken") throw doesNotWork(verdict.reason);
}

export function doesNotWork(reason: string): RunnerError {
  return new RunnerError("unsupported", `gVisor does not work here: ${reason}`, { hint: "thaw doctor" });
}

async function whyUnable({ tools }: Context): Promise<{ detail: string; hint: string } | null> {
  if (process.getuid?.() !== 0)
    return { detail: "runner gvisor needs a daemon that is root", hint: "run the daemon as root" };
  if (findTool("mkfs.erofs") === undefined)
    return {
      detail: "no mkfs.erofs: root images for gVisor can't be made",
      hint: "apt-get install erofs-utils",
    };
  if ((await limitsMechanism(tools)) === "rlimits")
    return {
      detail: "no cgroup can be made, which runner gvisor needs to hold a sandbox's processes together",
      hint: "run the daemon with /sys/fs/cgroup writable",
    };
  return null;
}
