/** A cold boot from a root disk. */

import { rm } from "node:fs/promises";
import { join } from "node:path";
import { defined } from "../../api/defined.ts";
import { deadlineSignal } from "../host/deadline.ts";
import { hostBoot } from "../host/host-boot.ts";
import type { BootSpec, MachineNeeds, MachineRecord } from "../runner.ts";
import { bootArgv } from "./argv.ts";
import {
  type Confinement,
  type Context,
  confine,
  isolationOf,
  RUNNER_NAME,
  runtimeDirOf,
} from "./context.ts";
import { growDisk, ROOT_DISK, ROOT_PARTITION } from "./disk/cache.ts";
import { freezeToFiles } from "./freeze/save.ts";
import { type Launched, launch } from "./launch.ts";
import { QemuMachine } from "./machine.ts";
import { makeMemoryFile, makeWritable } from "./machine-files.ts";
import { fromSystemError } from "./system-error.ts";

const BOOT_TIMEOUT_MS = 20_000;
const MIB = 1024 * 1024;

export async function boot(
  context: Context,
  needs: MachineNeeds,
  spec: BootSpec,
  outer?: AbortSignal,
): Promise<QemuMachine> {
  const { id, resources, disk, memoryFile } = spec;
  const runtimeDir = runtimeDirOf(context, spec);
  const facts = await context.facts();
  const { accelerator, machine, cpu } = needs;
  const { mitigations } = context.settings();
  const grown =
    disk.format === "qcow2" &&
    (await growDisk(context, disk.path, { diskMib: resources.diskMib, signal: outer }));
  const device = grown ? ROOT_PARTITION : ROOT_DISK;
  const confinement = confine(await context.jail(), runtimeDir);
  const inside = {
    kernel: {
      vmlinuz: confinement.show("vmlinuz", join(spec.kernelDir, "vmlinuz"), "read"),
      initrd: confinement.show("initrd", join(spec.kernelDir, "initrd"), "read"),
    },
    disk: { path: confinement.show("disk", disk.path, "write"), format: disk.format, device },
    ...(memoryFile === undefined ? {} : { memoryFile: confinement.show("memory", memoryFile, "write") }),
  };
  using deadline = deadlineSignal("QEMU did not start", BOOT_TIMEOUT_MS, outer);
  if (memoryFile !== undefined) await makeMemoryFile(memoryFile, resources.memoryMib * MIB);
  const files = [disk.path, ...(memoryFile === undefined ? [] : [memoryFile])];
  const started = await makeWritable(files)
    .then(() =>
      launch(context, {
        ...{ id, qemuPath: facts.path, runtimeDir, confinement, accelerator, resources, inherit: [] },
        argv: bootArgv({ id, machine, accelerator, cpu, resources, mitigations, ...inside }),
        timeoutMs: BOOT_TIMEOUT_MS,
        signal: deadline.signal,
      }),
    )
    .catch(async (error: unknown) => {
      if (memoryFile !== undefined) await rm(memoryFile, { force: true });
      throw fromSystemError(error);
    });
  const { qmp, keeper } = started;
  const record = recordOf({ spec, needs, confinement, started, runtimeDir, resources });
  const { hostDirInside } = confinement;
  const freezer: ConstructorParameters<typeof QemuMachine>[0]["freezer"] =
    memoryFile === undefined
      ? undefined
      : (dir) =>
          freezeToFiles({ qmp, keeper, runtimeDir, hostDirInside, dir, memoryFile, diskFile: disk.path });
  return new QemuMachine({ record, qmp, keeper, ...defined({ freezer }) });
}

export interface RecordParts {
  spec: { id: string; stateDir: string };
  needs: MachineNeeds;
  confinement: Confinement;
  started: Launched;
  runtimeDir: string;
  resources: MachineRecord["resources"];
  imported?: boolean;
}

export function recordOf(parts: RecordParts): MachineRecord {
  const { spec, needs, confinement, started, runtimeDir, resources, imported = false } = parts;
  return {
    runner: RUNNER_NAME,
    id: spec.id,
    runtimeDir,
    stateDir: spec.stateDir,
    isolation: isolationOf(needs.accelerator, confinement.jailed),
    uid: started.uid,
    resources,
    needs,
    imported,
    hostBoot: hostBoot(),
  };
}
