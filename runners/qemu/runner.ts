/** The QEMU runner: makes microVMs on this host, thaws them from snapshots and finds them again. */

import { createHash } from "node:crypto";
import { readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { defined } from "../../api/defined.ts";
import { Keeper, sweep } from "../host/keeper.ts";
import type { Proof } from "../host/proof.ts";
import { KeeperStarter } from "../host/starter.ts";
import { type MachineNeeds, type Runner, RunnerError, type RunnerSettings } from "../runner.ts";
import { adopt } from "./adopt.ts";
import { devicesDigest } from "./argv.ts";
import { boot } from "./boot.ts";
import { type Context, RUNNER_NAME, runtimeDirOf } from "./context.ts";
import { kvmCpusOf, TCG_CPU } from "./cpu-models.ts";
import { differenceProof, proveDifference, recallDifference } from "./difference-proof.ts";
import { formatCache } from "./disk/cache.ts";
import { machineFiles } from "./disk/chain.ts";
import { diskFault, flattenDisk } from "./disk/convert.ts";
import { openDisk } from "./disk-files.ts";
import { findQemu, type QemuFacts, qemuFacts } from "./host-facts.ts";
import { HotMemory } from "./hot-memory.ts";
import { incompatible } from "./incompatible.ts";
import { type JailSupport, jailSupport } from "./jail-support.ts";
import { prepareKernel } from "./kernel/prepare.ts";
import { type KvmVerdict, kvmProof, proveKvm, recallKvm } from "./kvm-proof.ts";
import { runnerMemory } from "./memory.ts";
import { probe } from "./probe.ts";
import { thaw } from "./thaw.ts";
import { ThawRecord } from "./thaw-record.ts";

const HOT_MEMORY_LIMIT_BYTES = 2 * 1024 ** 3;

export interface QemuRunnerOptions {
  /** `$THAW_HOME`: holds `host.json`. */
  home: string;
  /** The static guest agent, PID 1 of every machine booted from now on. */
  agentPath: string;
  /** The static helper `thaw-seal`; `thaw-keeper` and `thaw-jail` are beside it. */
  sealPath: string;
  /** The static helper `thaw-pages`. Default: beside `thaw-seal`. */
  pagesPath?: string;
  /** Short folder for sockets, private to this user. */
  runtimeRoot: string;
  /** `auto` (default): where the host can; `required`: refuse machines where it can't; `off`: never. */
  jail?: "auto" | "required" | "off";
  /** Thaw what was imported without a jail, too, where machines have none. Default false. */
  unjailedImports?: boolean;
  /** `prove` (default): use KVM where a guest was seen to start; `never`: emulate. */
  kvm?: "prove" | "never";
  /** `prove` (default): take differences where one was seen to be replayed; `never`: always migrate. */
  difference?: "prove" | "never";
  /** Bytes of RAM for copies of unused snapshots' memory. Default 2 GiB. */
  hotMemoryLimitBytes?: number;
}

/** Does nothing until asked. */
export function createQemuRunner(options: QemuRunnerOptions): Runner {
  let settings: RunnerSettings = {};
  const { context, difference } = createContext(options, () => settings);
  const thaws = new ThawRecord(context);
  const kernels = { kernelsDir: join(options.home, "kernels"), agentPath: options.agentPath };
  /** After an upgrade of the host's kernel or QEMU KVM is proven anew by the first snapshot that needs it, with a kernel that is here. */
  const kvmFor = async ({ accelerator, kernel: version }: MachineNeeds): Promise<KvmVerdict> => {
    const known = await context.kvm();
    if (accelerator !== "kvm" || known.state !== "unproven") return known;
    const sources = (): never => {
      throw new RunnerError("start-failed", "a test downloads no packages");
    };
    const kept = await prepareKernel({ ...kernels, suite: "bookworm", version, sources }).catch(() => null);
    return kept === null ? known : context.kvm(kept.dir);
  };
  const runner: Runner = {
    name: RUNNER_NAME,
    capabilities: {
      ...{ memorySnapshots: true, liveFreeze: true, pause: true, pty: true, diskGrowth: true },
      ...{ ownDisk: true, caches: true, egress: true, travel: true },
      ...{ ownKernel: true, ownUser: true },
    },
    rootDisk: null,
    memory: runnerMemory(context),
    configure(wanted) {
      settings = wanted;
    },
    probe: () => probe(context, thaws, options),
    async prepareKernel(source, signal) {
      const { dir, ...kernel } = await prepareKernel({
        ...source,
        ...kernels,
        ...(signal ? { signal } : {}),
      });
      return { kernelDir: dir, ...kernel };
    },
    async emulation() {
      const kvm = await context.kvm();
      return kvm.state === "broken" ? kvm.reason : null;
    },
    needs: (kernelDir, signal) => needs(context, kernelDir, signal),
    async incompatibilities(snapshot, difference) {
      const facts = await context.facts();
      const host = {
        ...facts,
        devices: devicesDigest(),
        kvm: await kvmFor(snapshot.needs),
        kvmCpus: kvmCpusOf(settings),
      };
      return incompatible(snapshot.needs, host, difference?.build);
    },
    flattenDisk: (disks, target, diskMib, writing) =>
      flattenDisk(context, { disks, target, diskMib, format: "qcow2" }, writing),
    openDisk: (disks, dir, diskMib, writing) => openDisk(context, { disks, dir, diskMib }, writing),
    formatCache: (target, diskMib, writing) => formatCache(context, { target, diskMib, ...writing }),
    diskFault: (start, diskMib) => diskFault(start, diskMib * 2 ** 20),
    async boot(spec, signal) {
      return boot(context, await needs(context, spec.kernelDir, signal), spec, signal);
    },
    async thaw(spec, signal) {
      const reasons = await runner.incompatibilities(spec.snapshot, spec.difference);
      if (reasons.length > 0) {
        throw new RunnerError(
          "incompatible",
          `snapshot ${spec.snapshot.id} can't be thawed here: ${reasons.join("; ")}`,
        );
      }
      const { build } = await context.facts();
      if (spec.difference !== undefined && spec.difference.build !== build)
        throw new RunnerError(
          "incompatible",
          `a machine frozen by ${spec.difference.build} can only be thawed by that build; this host has ${build}`,
        );
      const machine = await thaw(context, spec, signal);
      thaws.note(machine.record).catch(() => {});
      return machine;
    },
    difference: (proof, signal) =>
      proof === undefined
        ? context.difference()
        : proveDifference(context, runner, difference, proof, signal),
    forget: (id) => context.hotMemory.forget(id),
    adopt: (record) => adopt(context, record),
    async clear(place) {
      const runtimeDir = runtimeDirOf(context, place);
      await new Keeper(context.tools, { id: place.id, runtimeDir }).end();
      for (const left of machineFiles(place.stateDir)) await rm(left, { recursive: true, force: true });
    },
    async sweep() {
      await sweep(context.tools).catch(() => []);
    },
  };
  return runner;
}

async function needs(context: Context, kernelDir: string, signal?: AbortSignal): Promise<MachineNeeds> {
  const [facts, kvm] = await Promise.all([context.facts(), context.kvm(kernelDir, signal)]);
  const kernel = (await readFile(join(kernelDir, "version"), "utf8")).trim();
  return {
    runner: RUNNER_NAME,
    build: facts.build,
    ...(kvm.state === "works" ? { accelerator: "kvm", cpu: kvm.cpu } : { accelerator: "tcg", cpu: TCG_CPU }),
    machine: facts.machine,
    kernel,
    devices: devicesDigest(),
  };
}

/** Facts are found once for each QEMU: the binary may be replaced while this process runs. A failure is not kept. */
function createContext(
  options: QemuRunnerOptions,
  settings: () => RunnerSettings,
): { context: Context; difference: Proof<object> } {
  const { home, runtimeRoot, sealPath } = options;
  const helper = (name: string): string => join(dirname(sealPath), name);
  const pagesPath = options.pagesPath ?? helper("thaw-pages");
  const keeperPath = helper("thaw-keeper");
  const cgroup = `thaw-${createHash("sha256").update(runtimeRoot).digest("hex").slice(0, 8)}`;
  let known: { key: string; facts: Promise<QemuFacts> } | undefined;
  let support: Promise<JailSupport> | undefined;
  const context: Context = {
    home,
    settings,
    runtimeRoot,
    pagesPath,
    jailPath: helper("thaw-jail"),
    pressurePath: helper("thaw-pressure"),
    tools: { keeperPath, starter: new KeeperStarter(keeperPath), cgroup, runtimeRoot },
    difference: async () =>
      options.difference === "never"
        ? { state: "broken", reason: "turned off in the daemon's settings" }
        : recallDifference(context, difference),
    hotMemory: new HotMemory({ sealPath, limitBytes: options.hotMemoryLimitBytes ?? HOT_MEMORY_LIMIT_BYTES }),
    async facts() {
      const binary = findQemu();
      if (known?.key !== binary.key) {
        const asked = { key: binary.key, facts: qemuFacts(home, binary) };
        known = asked;
        asked.facts.catch(() => {
          if (known === asked) known = undefined;
        });
      }
      return known.facts;
    },
    async jail(of = "machine") {
      const insists = of === "imported" && options.unjailedImports !== true;
      if (options.jail === "off" && of !== "tool" && !insists)
        return { jailed: false, reason: "turned off in the daemon's settings" };
      support ??= jailSupport(context);
      const found = await support;
      if (found.jailed || (options.jail !== "required" && !insists)) return found;
      const which = insists ? "a machine that was imported" : "every machine";
      const hint = defined({ hint: found.hint });
      throw new RunnerError(
        "unsupported",
        `${which} must be jailed and this host can't: ${found.reason}`,
        hint,
      );
    },
    async kvm(kernelDir, signal) {
      if (options.kvm === "never") return { state: "broken", reason: "turned off in the daemon's settings" };
      return kernelDir === undefined ? recallKvm(kvm) : proveKvm(context, kvm, kernelDir, signal);
    },
  };
  const kvm = kvmProof(context);
  const difference = differenceProof(context);
  return { context, difference };
}
