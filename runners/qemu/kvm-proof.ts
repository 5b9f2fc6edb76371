/**
 * Whether KVM runs guests here, proven by one that starts: /dev/kvm can open, accept machines and virtual CPUs, and still never get
 * a kernel past its first steps.
 */
import { randomBytes } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { release, version } from "node:os";
import { join } from "node:path";
import { RunnerError } from "../runner.ts";
import { bootArgv } from "./argv.ts";
import { type Context, confine, runtimeDirOf } from "./context.ts";
import { KVM_CPUS, pickKvmCpu } from "./cpu-models.ts";
import { deadlineSignal } from "./deadline.ts";
import type { QemuFacts } from "./host-facts.ts";
import { recall, remember } from "./host-json.ts";
import { launch } from "./launch.ts";

const PROOF_TIMEOUT_MS = 4_000;

export type KvmVerdict =
  | { state: "works"; cpu: string }
  | { state: "absent" | "broken" | "unproven"; reason: string };

/** What is remembered for this very host, kernel, QEMU and device. No boot. */
export async function recallKvm(home: string, facts: QemuFacts): Promise<KvmVerdict> {
  const device = await stat("/dev/kvm").catch(() => undefined);
  if (device === undefined) return { state: "absent", reason: "there is no /dev/kvm" };
  const remembered = await recall(home, "kvm", await kvmKey(facts), asVerdict);
  return remembered ?? { state: "unproven", reason: "no guest has been started with KVM yet" };
}

/** Starts a guest with KVM under a deadline and remembers how it went. Leaves no process behind. */
export async function proveKvm(
  context: Context,
  facts: QemuFacts,
  kernelDir: string,
  signal?: AbortSignal,
): Promise<KvmVerdict> {
  let verdict: KvmVerdict;
  try {
    verdict = { state: "works", cpu: await bootWithKvm(context, facts, kernelDir, signal) };
  } catch (error) {
    signal?.throwIfAborted();
    verdict = { state: "broken", reason: error instanceof RunnerError ? error.message : String(error) };
  }
  await remember(context.home, "kvm", await kvmKey(facts), verdict);
  return verdict;
}

/** Resolves with the CPU model to use once the agent in the guest has opened its port. */
async function bootWithKvm(
  context: Context,
  facts: QemuFacts,
  kernelDir: string,
  signal?: AbortSignal,
): Promise<string> {
  const id = `kvm-proof-${randomBytes(4).toString("hex")}`;
  const runtimeDir = runtimeDirOf(context, { id });
  using deadline = deadlineSignal("/dev/kvm opens but a guest did not start", PROOF_TIMEOUT_MS, signal);
  const confinement = confine(await context.jail(), runtimeDir);
  const kernel = {
    vmlinuz: confinement.show("vmlinuz", join(kernelDir, "vmlinuz"), "read"),
    initrd: confinement.show("initrd", join(kernelDir, "initrd"), "read"),
  };
  const resources = { cpus: 1, memoryMib: 128, diskMib: 1 };
  const shape = { machine: facts.machine, accelerator: "kvm" as const, cpu: "Nehalem-v1", resources };
  const started = await launch(context, {
    ...{ id, qemuPath: facts.path, runtimeDir, confinement, accelerator: "kvm", resources, inherit: [] },
    argv: bootArgv({ ...shape, id, kernel }),
    timeoutMs: PROOF_TIMEOUT_MS,
    signal: deadline.signal,
  });
  const onAbort = (): void => started.qmp.close();
  deadline.signal.addEventListener("abort", onAbort);
  try {
    const opened = started.qmp.waitEvent(
      (event) => (event.name === "VSERPORT_CHANGE" && event.data.open === true ? true : undefined),
      { what: "the agent's port", timeoutMs: PROOF_TIMEOUT_MS },
    );
    opened.catch(() => {});
    const cpu = pickKvmCpu(await started.qmp.execute("query-cpu-definitions"));
    if (cpu === undefined)
      throw new RunnerError(
        "unsupported",
        `/dev/kvm opens but offers none of the CPU models ${KVM_CPUS.join(", ")}`,
      );
    await opened;
    return cpu;
  } catch (error) {
    deadline.signal.throwIfAborted();
    throw error;
  } finally {
    deadline.signal.removeEventListener("abort", onAbort);
    started.qmp.close();
    await started.keeper.end();
  }
}

async function kvmKey(facts: QemuFacts): Promise<string> {
  const device = await stat("/dev/kvm").catch(() => undefined);
  const cpu =
    /^model name\s*:\s*(.*)$/m.exec(await readFile("/proc/cpuinfo", "utf8").catch(() => ""))?.[1] ?? "";
  return [
    release(),
    version(),
    cpu,
    facts.build,
    device?.rdev,
    device?.mode,
    device?.gid,
    process.getuid?.(),
  ].join(" | ");
}

function asVerdict(value: unknown): KvmVerdict | undefined {
  const verdict = value as Partial<Record<"state" | "cpu" | "reason", unknown>> | null;
  if (verdict?.state === "works" && typeof verdict.cpu === "string")
    return { state: "works", cpu: verdict.cpu };
  if (verdict?.state === "broken" && typeof verdict.reason === "string")
    return { state: "broken", reason: verdict.reason };
  return undefined;
}
