/** What every operation of the runner shares: where things are, what the host can do, how machines are confined. */
import { join } from "node:path";
import {
  type DifferenceVerdict,
  type Isolation,
  type MachineNeeds,
  type MachinePlace,
  RunnerError,
} from "../runner.ts";
import type { QemuFacts } from "./host-facts.ts";
import type { HotMemory } from "./hot-memory.ts";
import { JAIL_FILES_DIR, JAIL_RUNTIME_DIR, type JailBinding, jailUid } from "./jail.ts";
import type { JailSupport } from "./jail-support.ts";
import type { KvmVerdict } from "./kvm-proof.ts";

export const RUNNER_NAME = "qemu";

export interface Context {
  home: string;
  /** Short folder that holds one folder of sockets per machine. */
  runtimeRoot: string;
  facts(): Promise<QemuFacts>;
  /** The jail to use now, as policy and host allow. Rejects when policy wants one and the host has none. */
  jail(): Promise<JailSupport>;
  /** What is remembered of KVM; with `kernelDir` it is proven when nothing is. */
  kvm(kernelDir?: string, signal?: AbortSignal): Promise<KvmVerdict>;
  hotMemory: HotMemory;
  /** What is known of differences on this host. */
  difference(): Promise<DifferenceVerdict>;
  /** The helper that copies a machine's own pages. */
  pagesPath: string;
}

/** How one machine is confined and what it may open. */
export interface Confinement {
  jailed: boolean;
  /** uid of QEMU on the host. */
  uid: number;
  /** For `launch`; absent without a jail. */
  jail: { uid?: number } | undefined;
  bindings: JailBinding[];
  /** The runtime folder as QEMU sees it. */
  runtimeDirInside: string;
  /** Makes a host path visible to QEMU and returns the path to give it. */
  show(name: string, source: string, access: "read" | "write"): string;
}

export function runtimeDirOf(context: Context, place: Pick<MachinePlace, "id">): string {
  return join(context.runtimeRoot, checkId(place.id));
}

/** Ids become file names and arguments. */
export function checkId(id: string): string {
  if (/^[a-z0-9-]{1,40}$/.test(id)) return id;
  throw new RunnerError("unsupported", `machine id ${JSON.stringify(id)} is not 1 to 40 of a-z, 0-9 and -`);
}

export function confine(support: JailSupport, id: string, runtimeDir: string): Confinement {
  const ownUid = process.getuid?.() ?? 0;
  if (!support.jailed) {
    const show = (_name: string, source: string): string => source;
    return { jailed: false, uid: ownUid, jail: undefined, bindings: [], runtimeDirInside: runtimeDir, show };
  }
  const bindings: JailBinding[] = [];
  const show: Confinement["show"] = (name, source, access) => {
    const target = `${JAIL_FILES_DIR}/${name}`;
    bindings.push({ source, target, writable: access === "write" });
    return target;
  };
  const uid = ownUid === 0 ? jailUid(id) : ownUid;
  const jail = ownUid === 0 ? { uid } : {};
  return { jailed: true, uid, jail, bindings, runtimeDirInside: JAIL_RUNTIME_DIR, show };
}

export function isolationOf(accelerator: MachineNeeds["accelerator"], jailed: boolean): Isolation {
  if (accelerator === "kvm") return "kvm";
  return jailed ? "emulated (jailed)" : "emulated (not jailed)";
}
