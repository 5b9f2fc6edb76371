/** What every operation of the runner shares: where things are, what the host can do, how machines are confined. */
import { join } from "node:path";
import { JAIL_FILES_DIR, JAIL_HOST_DIR, JAIL_RUNTIME_DIR, type JailBinding } from "../host/jail.ts";
import type { KeeperTools } from "../host/keeper.ts";
import { hostDir, LONGEST_SOCKET, workDir } from "../host/machine-dir.ts";
import { checkSocketPath } from "../host/socket-path.ts";
import {
  type DifferenceVerdict,
  type Isolation,
  type MachineNeeds,
  type MachinePlace,
  RunnerError,
  type RunnerSettings,
} from "../runner.ts";
import type { QemuFacts } from "./host-facts.ts";
import type { HotMemory } from "./hot-memory.ts";
import type { JailSupport } from "./jail-support.ts";
import type { KvmVerdict } from "./kvm-proof.ts";

export const RUNNER_NAME = "qemu";

export interface Context {
  home: string;
  /** As they are now. */
  settings(): RunnerSettings;
  /** Short folder that holds one folder of sockets per machine. */
  runtimeRoot: string;
  facts(): Promise<QemuFacts>;
  /**
   * The jail to use now, as policy and host allow. Machines can be let out of it; tools that read a guest's files never are where the host has
   * one. Rejects when policy wants one, or an imported machine does, and the host has none.
   */
  jail(of?: "machine" | "imported" | "tool"): Promise<JailSupport>;
  /** What is remembered of KVM; with `kernelDir` it is proven when nothing is. */
  kvm(kernelDir?: string, signal?: AbortSignal): Promise<KvmVerdict>;
  hotMemory: HotMemory;
  /** What is known of differences on this host. */
  difference(): Promise<DifferenceVerdict>;
  /** What starts and finds the keepers of machines. */
  tools: KeeperTools;
  /** The program that runs a tool in a machine's jail. */
  jailPath: string;
  /** The helper that tells of stalls for want of memory. */
  pressurePath: string;
  /** The helper that copies a machine's own pages. */
  pagesPath: string;
}

/** How one machine is confined and what it may open. */
export interface Confinement {
  jailed: boolean;
  bindings: JailBinding[];
  /** Host files and folders that become the property of the machine's uid. */
  own: string[];
  /** The machine's own folder, and that of its host's sockets, as QEMU sees them. */
  runtimeDirInside: string;
  hostDirInside: string;
  /** Makes a host path visible to QEMU and returns the path to give it. What is for writing becomes its own. */
  show(name: string, source: string, access: "read" | "write"): string;
}

export function runtimeDirOf(context: Context, place: Pick<MachinePlace, "id">): string {
  const dir = join(context.runtimeRoot, checkId(place.id));
  checkSocketPath(join(dir, LONGEST_SOCKET));
  return dir;
}

/** Ids become file names and arguments. */
export function checkId(id: string): string {
  if (/^[a-z0-9-]{1,40}$/.test(id)) return id;
  throw new RunnerError("unsupported", `machine id ${JSON.stringify(id)} is not 1 to 40 of a-z, 0-9 and -`);
}

export function confine({ jailed }: { jailed: boolean }, runtimeDir: string): Confinement {
  const [work, host] = [workDir({ runtimeDir }), hostDir({ runtimeDir })];
  const bindings: JailBinding[] = [];
  const own: string[] = [];
  if (!jailed) {
    const show = (_name: string, source: string): string => source;
    return { jailed, bindings, own, runtimeDirInside: work, hostDirInside: host, show };
  }
  bindings.push({ source: work, target: JAIL_RUNTIME_DIR, writable: true });
  bindings.push({ source: host, target: JAIL_HOST_DIR, writable: false });
  const show: Confinement["show"] = (name, source, access) => {
    const target = `${JAIL_FILES_DIR}/${name}`;
    bindings.push({ source, target, writable: access === "write" });
    if (access === "write") own.push(source);
    return target;
  };
  return { jailed, bindings, own, runtimeDirInside: JAIL_RUNTIME_DIR, hostDirInside: JAIL_HOST_DIR, show };
}

export function isolationOf(accelerator: MachineNeeds["accelerator"], jailed: boolean): Isolation {
  if (accelerator === "kvm") return "kvm";
  return jailed ? "emulated (jailed)" : "emulated (not jailed)";
}
