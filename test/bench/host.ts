/** Where a run was measured: without it no figure means anything. */
import { availableParallelism, cpus, loadavg, release } from "node:os";
import { outputOf } from "./command.ts";
import type { World } from "./world.ts";

export interface Host {
  accelerator: string;
  qemu: string;
  guestKernel: string;
  hostKernel: string;
  node: string;
  podman: string;
  cpu: string;
  cores: number;
  loadAverage: number[];
}

export async function describeHost({ snapshot, signal }: World): Promise<Host> {
  const podman = await outputOf(["podman", "--version"], { signal }).catch(() => "none");
  return {
    accelerator: snapshot.needs.accelerator,
    qemu: snapshot.needs.build.replace("QEMU emulator version ", ""),
    guestKernel: snapshot.needs.kernel,
    hostKernel: release(),
    node: process.versions.node,
    podman: podman.replace("podman version ", ""),
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    loadAverage: loadavg().map((value) => Number(value.toFixed(2))),
  };
}

export function formatHost(host: Host): string {
  return [
    `${host.accelerator} · QEMU ${host.qemu} · guest ${host.guestKernel} · node ${host.node} · podman ${host.podman}`,
    `Linux ${host.hostKernel} · ${host.cores} × ${host.cpu} · load ${host.loadAverage.join(" ")}`,
  ].join("\n");
}
