/**
 * Whether KVM runs guests here, proven by one that starts: /dev/kvm can open, accept machines and virtual CPUs, and still never get
 * a kernel past its first steps.
 */
import { randomBytes } from "node:crypto";
import { accessSync, constants, readFileSync, type Stats, statSync } from "node:fs";
import { release, version } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { paced } from "../../host/pace.ts";
import { deadlineSignal } from "../host/deadline.ts";
import type { Keeper } from "../host/keeper.ts";
import { Proof } from "../host/proof.ts";
import { RunnerError, type RunnerSettings } from "../runner.ts";
import { bootArgv } from "./argv.ts";
import { type Context, confine, runtimeDirOf } from "./context.ts";
import { kvmCpusOf, pickKvmCpu } from "./cpu-models.ts";
import type { QemuFacts } from "./host-facts.ts";
import { launch } from "./launch.ts";

const PROOF_TIMEOUT_MS = 4_000;

export type KvmVerdict =
  | { state: "works"; cpu: string; at: string | null }
  | { state: "absent" | "broken" | "unproven"; reason: string };

/** A success says which CPU model guests get. */
export interface KvmFacts {
  cpu: string;
}

export function kvmProof({ home, facts, settings }: Context): Proof<KvmFacts> {
  return new Proof({
    home,
    section: "kvm",
    untried: "no guest has been started with KVM yet",
    key: async () => kvmKey(await facts(), settings()),
    parse: (value) => z.object({ cpu: z.string() }).safeParse(value).data,
  });
}

/** What is known for this very host, kernel, QEMU and device. No boot. */
export async function recallKvm(proof: Proof<KvmFacts>): Promise<KvmVerdict> {
  if (kvmDevice() === undefined) return { state: "absent", reason: "there is no /dev/kvm" };
  return proof.recall();
}

/** What is known; when nothing is, a guest is started with KVM under a deadline. Leaves no process behind. */
export async function proveKvm(
  context: Context,
  proof: Proof<KvmFacts>,
  kernelDir: string,
  signal?: AbortSignal,
): Promise<KvmVerdict> {
  const known = await recallKvm(proof);
  if (known.state !== "unproven") return known;
  return proof.prove(async () => {
    const facts = await context.facts();
    return { cpu: await bootWithKvm(context, facts, kernelDir, signal) };
  }, signal);
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
  const { mitigations } = context.settings();
  const cpus = kvmCpusOf(context.settings());
  // The most modest one, whichever the host turns out to have.
  const cpu = cpus.at(-1) ?? "";
  const shape = { machine: facts.machine, accelerator: "kvm" as const, cpu, resources, mitigations };
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
    const picked = pickKvmCpu(await started.qmp.execute("query-cpu-definitions"), cpus);
    if (picked === undefined)
      throw new RunnerError(
        "unsupported",
        `/dev/kvm opens but offers none of the CPU models ${cpus.join(", ")}`,
      );
    await opened;
    return picked;
  } catch (error) {
    signal?.throwIfAborted();
    const late = deadline.signal.aborted || (error instanceof RunnerError && error.code === "timeout");
    throw late ? await timeoutError(started.keeper) : error;
  } finally {
    deadline.signal.removeEventListener("abort", onAbort);
    started.qmp.close();
    await started.keeper.end();
  }
}

/** A guest that had the processor and still did not start never will; one that had not says nothing about KVM. */
async function timeoutError(keeper: Keeper): Promise<RunnerError> {
  const used = (await keeper.stats().catch(() => undefined))?.cpuMs ?? 0;
  const timeoutMs = paced(PROOF_TIMEOUT_MS);
  const seconds = timeoutMs / 1000;
  return used < timeoutMs / 2
    ? new RunnerError("timeout", `a guest got only ${used} ms of processor time within ${seconds} s`)
    : new RunnerError("start-failed", `/dev/kvm opens but a guest did not start within ${seconds} s`);
}

/** Every thaw asks: one after the other on Node's threads, these looks would take milliseconds. */
function kvmKey(facts: QemuFacts, settings: RunnerSettings): string {
  return [
    release(),
    version(),
    cpuModelName(),
    facts.build,
    kvmDevice()?.rdev,
    // Its mode and group are set some time after a boot, and do not concern who may use it anyway.
    mayUseKvm() ? "usable" : "forbidden",
    ...(Object.keys(settings).length === 0 ? [] : [JSON.stringify(settings)]),
  ].join(" | ");
}

function kvmDevice(): Stats | undefined {
  try {
    return statSync("/dev/kvm", { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

function mayUseKvm(): boolean {
  try {
    accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** The kernel knows it from when it started. */
let cpuModel: string | undefined;

function cpuModelName(): string {
  cpuModel ??= readCpuModel();
  return cpuModel;
}

function readCpuModel(): string {
  try {
    return /^model name\s*:\s*(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "";
  } catch {
    return "";
  }
}
