/** What a machine may use of its host at most: its guest's resources, and what its hypervisor needs beside them. */
import { CACHE_ROOM_MIB } from "../../api/machine.ts";
import type { Limits } from "../host/jail.ts";
import type { MachineNeeds, Resources } from "../runner.ts";
import { TRANSLATION_MIB } from "./argv.ts";

const MIB = 1024 * 1024;
/** QEMU's own memory, page tables, and what the kernel holds of its files. */
export const HYPERVISOR_MIB = 192;
/** Threads of QEMU beside its virtual CPUs: 64 for disks, and the rest. */
const THREADS = 128;
/** qcow2's own tables, beyond the disk's size. */
const DISK_OVERHEAD_MIB = 64;

/** Memory that a machine can take of its host, beyond its guest's: QEMU, and translated code when it is emulated. */
export function overheadMib(accelerator: MachineNeeds["accelerator"]): number {
  return HYPERVISOR_MIB + (accelerator === "tcg" ? TRANSLATION_MIB : 0);
}

/** The most that any machine can take beyond its guest's memory. */
export const MOST_OVERHEAD_MIB = HYPERVISOR_MIB + TRANSLATION_MIB;

export function machineLimits(resources: Resources, accelerator: MachineNeeds["accelerator"]): Limits {
  const { memoryMib, diskMib, cpus } = resources;
  return {
    memoryBytes: (memoryMib + overheadMib(accelerator)) * MIB,
    processes: THREADS + cpus,
    cpus,
    fileBytes: Math.max(diskMib + CACHE_ROOM_MIB + DISK_OVERHEAD_MIB, memoryMib) * MIB,
  };
}
