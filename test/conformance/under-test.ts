/**
 * The runner that the suite is for (THAW_RUNNER, else qemu), and how a test makes one. What a runner can do is asked of its capabilities; here is only what a
 * test must make for it.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createGvisorRunner } from "../../runners/gvisor/runner.ts";
import { createQemuRunner } from "../../runners/qemu/runner.ts";
import type { MachineRecord, Probe, Runner, RunnerSettings } from "../../runners/runner.ts";
import { pidOf } from "../helpers/keeper.ts";
import { runnerName } from "../helpers/runner.ts";

/** From THAW_TEST_HOST, for a host that is not a common one. */
interface ThisHost {
  /** As in the daemon's config.yaml. */
  runner?: RunnerSettings;
  /** A template's name or file, whose machines are made. Debian 12. */
  template?: string;
  /** The snapshot that this makes. Default: called as `template`. */
  snapshot?: string;
}

const {
  runner: settings = {},
  template = "base",
  snapshot: templateSnapshot = template,
} = JSON.parse(process.env.THAW_TEST_HOST ?? "{}") as ThisHost;

export { template, templateSnapshot };

/** @returns a deadline on this host that is `ms` on a common one */
export const patient = (ms: number): number => ms * (settings.slow ?? 1);

export interface Place {
  home: string;
  /** Of the machines' sockets. */
  runtimeRoot: string;
}

interface Kind {
  create(place: Place): Runner;
  /** Why it makes no machines on this host. */
  missing(probes: Probe[]): Probe[];
  diskFormat: "raw" | "qcow2";
  /** Makes a disk that can be written to, of a snapshot's. */
  writeRootDisk(path: string, from: { path: string; diskMib: number }): void;
  /** What an idle machine may take of a core: gVisor's kernel has clocks of its own. */
  idlePercent: number;
  /** The process of the host that runs the guest. */
  guestProcess(record: MachineRecord): Promise<number>;
}

const agentPath = resolve("dist/agent/thaw-agent");

const KINDS: Record<string, Kind> = {
  qemu: {
    create: (place) => createQemuRunner({ ...place, agentPath, sealPath: resolve("dist/agent/thaw-seal") }),
    missing: (probes) => probes.filter(({ fatal, state }) => fatal && state === "missing"),
    diskFormat: "qcow2",
    // Without room for cached folders; its first sector is far behind in its file, as `qemu-img convert -W` may leave it.
    writeRootDisk(path, from) {
      const file = { driver: "qcow2", file: { driver: "file", filename: from.path } };
      const source = `json:${JSON.stringify({ driver: "raw", size: from.diskMib * 2 ** 20, file })}`;
      execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", path, `${from.diskMib}M`]);
      execFileSync("qemu-io", ["-c", "write -q 64M 80M", path]);
      execFileSync("qemu-img", ["convert", "-n", "-O", "qcow2", source, path]);
    },
    idlePercent: 3,
    guestProcess: pidOf,
  },
  gvisor: {
    create: (place) =>
      createGvisorRunner({ ...place, agentPath, keeperPath: resolve("dist/agent/thaw-keeper") }),
    // One that was not tested yet names the command that tests it.
    missing: (probes) =>
      probes.filter(({ state, hint }) => state !== "ok" && !hint?.includes("--runner gvisor")),
    diskFormat: "raw",
    writeRootDisk: (path, from) => copyFileSync(from.path, path),
    idlePercent: 10,
    async guestProcess(record) {
      const pids = processesOf(await pidOf(record));
      const found = pids.find((pid) =>
        readFileSync(`/proc/${pid}/cmdline`, "latin1").startsWith("runsc-sandbox"),
      );
      if (found === undefined) throw new Error(`no sandbox among the processes ${pids.join(", ")}`);
      return found;
    },
  },
};

const found = KINDS[runnerName];
if (found === undefined)
  throw new Error(`THAW_RUNNER=${runnerName}: runners are ${Object.keys(KINDS).join(", ")}`);
const kind = found;
export const { diskFormat, writeRootDisk, idlePercent, guestProcess } = kind;

export function createRunner(place: Place): Runner {
  const runner = kind.create(place);
  runner.configure(settings);
  return runner;
}

/** Why the runner can't be tested here; empty when it can. Throws where it has to (REQUIRE_QEMU=1, REQUIRE_GVISOR=1). */
export async function whyMissing(runner: Runner): Promise<string> {
  const missing = kind.missing(await runner.probe());
  const why = missing.map(({ name, detail }) => `${name}: ${detail}`).join("; ");
  if (why !== "" && process.env[`REQUIRE_${runnerName.toUpperCase()}`] === "1")
    throw new Error(`${runnerName} can't run here: ${why}`);
  return why;
}

/** The cgroup of a machine's process below a hierarchy's root, e.g. `thaw-…/keep-…`; empty where machines have none. */
export function cgroupOf(pid: number): string {
  const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").split("\n");
  const line = lines.find((one) => one.includes("/thaw-")) ?? "";
  return line.slice(line.indexOf("/thaw-") + 1);
}

function processesOf(pid: number): number[] {
  for (const root of ["/sys/fs/cgroup", "/sys/fs/cgroup/memory"])
    try {
      const text = readFileSync(join(root, cgroupOf(pid), "cgroup.procs"), "utf8");
      return text.split("\n").filter(Boolean).map(Number);
    } catch {}
  return [];
}
