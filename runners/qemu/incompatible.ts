/** Why a snapshot can't be thawed on a host: QEMU itself notices almost no difference and runs a broken guest. */
import type { MachineNeeds } from "../runner.ts";
import { RUNNER_NAME } from "./context.ts";
import { TCG_CPU } from "./cpu-models.ts";
import type { KvmVerdict } from "./kvm-proof.ts";

export interface HostOffer {
  build: string;
  machines: readonly string[];
  devices: string;
  kvm: KvmVerdict;
  /** Models that it gives to guests under KVM; no other reaches a command line, whatever a manifest says. */
  kvmCpus: readonly string[];
}

/**
 * One sentence per reason, with both values; empty when it can. The guest's kernel is in its memory, so the host's own does not matter. A
 * newer QEMU restores what an older one saved, as long as it still has the machine type.
 * @param differenceBuild QEMU build that took a difference: no other can thaw it
 */
export function incompatible(needs: MachineNeeds, host: HostOffer, differenceBuild?: string): string[] {
  if (needs.runner !== RUNNER_NAME)
    return [`it was made by the ${needs.runner} runner, this is ${RUNNER_NAME}`];
  const reasons: string[] = [];
  if (compareBuilds(needs.build, host.build) > 0)
    reasons.push(`it was made by ${needs.build}, this host has the older ${host.build}`);
  if (differenceBuild !== undefined && differenceBuild !== host.build)
    reasons.push(
      `its memory is a difference taken by ${differenceBuild}, and only that build resumes it; this host has ${host.build}`,
    );
  if (!host.machines.includes(needs.machine)) {
    reasons.push(
      `it needs machine type ${needs.machine}, this host's newest is ${host.machines.at(-1) ?? "none"}`,
    );
  }
  if (needs.cpu !== TCG_CPU && !host.kvmCpus.includes(needs.cpu))
    reasons.push(`it needs CPU model ${needs.cpu}, which this runner does not use`);
  if (needs.devices !== host.devices)
    reasons.push(`it has the device list ${needs.devices}, this runner makes ${host.devices}`);
  if (needs.accelerator === "kvm" && host.kvm.state !== "works") {
    reasons.push(`it was made under kvm, which this host does not have: ${host.kvm.reason}`);
  }
  if (needs.accelerator === "kvm" && host.kvm.state === "works" && needs.cpu !== host.kvm.cpu) {
    reasons.push(`it needs CPU model ${needs.cpu} under kvm, this host is known to have ${host.kvm.cpu}`);
  }
  return reasons;
}

/** Positive when `a` is a newer QEMU than `b`; distribution revisions of one version are alike. */
function compareBuilds(a: string, b: string): number {
  const parse = (build: string): number[] => (/version (\d+)\.(\d+)/.exec(build) ?? []).slice(1).map(Number);
  const [first, second] = [parse(a), parse(b)];
  if (first.length === 0) return 1;
  return (first[0] ?? 0) - (second[0] ?? 0) || (first[1] ?? 0) - (second[1] ?? 0);
}
