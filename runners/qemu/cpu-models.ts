/** Named CPU models: what a snapshot's guest was started with, and what every later host must offer. */
import type { RunnerSettings } from "../runner.ts";

/**
 * The emulated CPU: x86-64-v2 (what current distributions are built for), in the model's first version, which has no mitigations to
 * emulate. Emulating AVX costs more than it brings.
 */
export const TCG_CPU = "Nehalem-v1";

/**
 * Under KVM the first of these the host's CPU has all features of: conservative generations, so that hosts of one fleet agree.
 * AMD hosts fail the Intel models on features of theirs and the other way round.
 */
export const KVM_CPUS: readonly string[] = [
  "Skylake-Server-noTSX-IBRS",
  "Haswell-noTSX-IBRS",
  "EPYC-Rome",
  "EPYC-IBPB",
  "Westmere",
  "Nehalem-v1",
];

/** Best first. */
export function kvmCpusOf({ kvmCpus }: RunnerSettings): readonly string[] {
  return kvmCpus ?? KVM_CPUS;
}

/**
 * Picks from the answer to `query-cpu-definitions`, which lists per model the features this host lacks.
 * @param wanted best first
 * @returns undefined when the host has none of them
 */
export function pickKvmCpu(definitions: unknown, wanted: readonly string[] = KVM_CPUS): string | undefined {
  if (!Array.isArray(definitions)) return undefined;
  const whole = new Set<unknown>();
  for (const definition of definitions as Record<string, unknown>[]) {
    const lacking = definition["unavailable-features"];
    if (Array.isArray(lacking) && lacking.length === 0) whole.add(definition.name);
  }
  return wanted.find((cpu) => whole.has(cpu));
}
