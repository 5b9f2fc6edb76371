/** All that is known of a host. Never changed in place: each change makes a new one. */
import type { ErrorCode } from "../../api/error-codes.ts";
import type {
  Capture,
  DaemonInfo,
  DoctorReport,
  Sandbox as SandboxInfo,
  Snapshot,
  StatsSample,
  Template,
} from "../../api/schema.ts";
import { ThawError } from "../errors.ts";

/** What failed, and what to type. */
export interface Trouble {
  message: string;
  hint?: string | undefined;
  code?: ErrorCode | undefined;
}

export function troubleOf(error: unknown): Trouble {
  if (error instanceof ThawError) return { message: error.message, hint: error.hint, code: error.code };
  return { message: error instanceof Error ? error.message : String(error) };
}

/** What a sandbox used of late, the newest last. */
export interface Usage {
  cpuPercent: readonly number[];
  memoryBytes: readonly number[];
}

/** One host and what is on it. */
export interface HostState {
  context: string;
  /** `offline`: it does not answer; who follows it keeps trying. */
  status: "connecting" | "here" | "offline";
  trouble?: Trouble | undefined;
  info?: DaemonInfo | undefined;
  doctor?: DoctorReport | undefined;
  machine?: StatsSample["host"] | undefined;
  sandboxes: ReadonlyMap<string, SandboxInfo>;
  captures: ReadonlyMap<string, Capture>;
  snapshots: ReadonlyMap<string, Snapshot>;
  templates: readonly Template[];
  usage: ReadonlyMap<string, Usage>;
  /** What it sent that can't be shown, by kind and id. */
  unreadable: ReadonlySet<string>;
}

export function newHost(context: string): HostState {
  return {
    context,
    status: "connecting",
    sandboxes: new Map(),
    captures: new Map(),
    snapshots: new Map(),
    templates: [],
    usage: new Map(),
    unreadable: new Set(),
  };
}

/** Samples kept for a graph. */
const KEPT_SAMPLES = 16;

/** The host with one sample more. */
export function addSample(host: HostState, sample: StatsSample): HostState {
  const usage = new Map<string, Usage>();
  for (const { id, cpuPercent, pssBytes } of sample.sandboxes) {
    const before = host.usage.get(id) ?? { cpuPercent: [], memoryBytes: [] };
    usage.set(id, {
      cpuPercent:
        cpuPercent === null ? before.cpuPercent : [...before.cpuPercent, cpuPercent].slice(-KEPT_SAMPLES),
      memoryBytes: [...before.memoryBytes, pssBytes].slice(-KEPT_SAMPLES),
    });
  }
  return { ...host, usage, machine: sample.host };
}
