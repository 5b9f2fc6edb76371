/** The gVisor runner: makes sandboxes whose kernel is a program of the host, checkpoints them and finds them again. */
import { createHash } from "node:crypto";
import { copyFile, constants as fsConstants } from "node:fs/promises";
import { join } from "node:path";
import { Keeper, sweep } from "../host/keeper.ts";
import { KeeperStarter } from "../host/starter.ts";
import { type MachineNeeds, type Runner, RunnerError, type RunnerSettings } from "../runner.ts";
import { adopt } from "./adopt.ts";
import { bundleDigest } from "./bundle.ts";
import { type Context, RUNNER_NAME, runtimeDirOf } from "./context.ts";
import { cpuFeatures, PLATFORM, runscFinder } from "./facts.ts";
import { imageFault, rootDisk } from "./image.ts";
import { runnerMemory } from "./memory.ts";
import { removeFiles } from "./place.ts";
import { doesNotWork, needHost, probe } from "./probe.ts";
import { hostProof, proveHost } from "./proof.ts";
import { start } from "./start.ts";

export interface GvisorRunnerOptions {
  /** `$THAW_HOME`: holds `host.json`. */
  home: string;
  /** The static guest agent. */
  agentPath: string;
  /** The static helper `thaw-keeper`. */
  keeperPath: string;
  /** Short folder for sockets, private to this user. */
  runtimeRoot: string;
}

/** Does nothing until asked. */
export function createGvisorRunner(options: GvisorRunnerOptions): Runner {
  const { home, agentPath, keeperPath, runtimeRoot } = options;
  let settings: RunnerSettings = {};
  const cgroup = `thaw-g-${createHash("sha256").update(runtimeRoot).digest("hex").slice(0, 8)}`;
  const context: Context = {
    ...{ home, agentPath, facts: runscFinder(), settings: () => settings },
    tools: { keeperPath, starter: new KeeperStarter(keeperPath), cgroup, runtimeRoot },
  };
  const proof = hostProof(context);
  const disk = rootDisk(agentPath);
  const runner: Runner = {
    name: RUNNER_NAME,
    capabilities: {
      ...{ memorySnapshots: true, liveFreeze: true, pause: true, pty: true, diskGrowth: false },
      ...{ ownDisk: false, caches: false, egress: true, travel: false },
      ...{ ownKernel: false, ownUser: false },
    },
    rootDisk: {
      ...disk,
      // No tree is made for a host that can't use it.
      async key() {
        await needHost(context, proof);
        return disk.key();
      },
    },
    memory: runnerMemory(context),
    configure(wanted) {
      settings = wanted;
    },
    probe: () => probe(context, proof),
    prepareKernel: async () => ({ kernelDir: home, version: RUNNER_NAME, library: null, cached: true }),
    emulation: async () => null,
    async needs(_kernelDir, signal) {
      const verdict = await proveHost(context, proof, signal);
      if (verdict.state !== "works") throw doesNotWork(verdict.reason);
      return needsOf(context);
    },
    async incompatibilities(snapshot, difference) {
      const here = await needsOf(context);
      return incompatible(snapshot, here, difference?.build);
    },
    async flattenDisk(disks, target) {
      const [disk, ...layers] = disks;
      if (disk === undefined || layers.length > 0) throw cannot("put layers of a disk together");
      await copyFile(disk, target, fsConstants.COPYFILE_FICLONE | fsConstants.COPYFILE_EXCL);
    },
    async openDisk() {
      throw cannot("read files of a machine that does not run");
    },
    async formatCache() {
      throw cannot("keep cached folders");
    },
    diskFault: (start) => imageFault(start),
    async boot(spec, signal) {
      const needs = await needsOf(context);
      const { id, stateDir, resources } = spec;
      return start(context, { id, stateDir, resources, needs, root: spec.disk.path }, signal);
    },
    async thaw(spec, signal) {
      const { id, stateDir, snapshot, difference } = spec;
      // A checkpoint is read with all rights that a sandbox has: those of others are not trusted.
      if (snapshot.imported || difference?.imported) throw cannot("go on from what another host has frozen");
      const reasons = await runner.incompatibilities(snapshot, difference);
      if (reasons.length > 0)
        throw new RunnerError(
          "incompatible",
          `snapshot ${snapshot.id} can't be thawed here: ${reasons.join("; ")}`,
        );
      if (spec.cache !== undefined) throw cannot("keep cached folders");
      const { resources, needs } = snapshot;
      const from =
        difference === undefined
          ? { memory: join(snapshot.dir, "memory"), state: join(snapshot.dir, "devices") }
          : { memory: join(difference.dir, "pages"), state: join(difference.dir, "devices") };
      const { background } = spec;
      const root = join(snapshot.dir, "disk.qcow2");
      const machine = await start(
        context,
        { id, stateDir, resources, needs, root, from, background },
        signal,
      );
      if (spec.paused) await machine.pause();
      return machine;
    },
    difference: (given, signal) => (given === undefined ? proof.recall() : proveHost(context, proof, signal)),
    forget: () => {},
    adopt: (record) => adopt(context, record),
    async clear(place) {
      await new Keeper(context.tools, { id: place.id, runtimeDir: runtimeDirOf(context, place) }).end();
      await removeFiles(place);
    },
    async sweep() {
      await sweep(context.tools).catch(() => []);
    },
  };
  return runner;
}

async function needsOf(context: Context): Promise<MachineNeeds> {
  const { build } = await context.facts();
  return {
    ...{ runner: RUNNER_NAME, build, accelerator: PLATFORM, machine: RUNNER_NAME, kernel: RUNNER_NAME },
    ...{ cpu: await cpuFeatures(), devices: bundleDigest() },
  };
}

function incompatible(
  { needs }: { needs: MachineNeeds },
  here: MachineNeeds,
  differenceBuild: string | undefined,
): string[] {
  const reasons: string[] = [];
  const differs = (what: string, wanted: string, found: string): void => {
    if (wanted !== found) reasons.push(`${what} ${wanted} is needed, this host has ${found}`);
  };
  if (needs.runner !== RUNNER_NAME) return [`runner ${needs.runner} is needed`];
  differs("gVisor", needs.build, here.build);
  if (differenceBuild !== undefined && differenceBuild !== needs.build)
    differs("gVisor", differenceBuild, here.build);
  if (needs.cpu !== here.cpu) reasons.push("a CPU with other features is needed");
  if (needs.devices !== here.devices)
    reasons.push("it was made by another version of thaw, which started sandboxes in another way");
  return reasons;
}

function cannot(what: string): RunnerError {
  return new RunnerError("unsupported", `runner ${RUNNER_NAME} can't ${what}; runner qemu can`);
}
