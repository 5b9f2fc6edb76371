/** The QEMU runner: makes microVMs on this host, thaws them from snapshots and finds them again. */
import { readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type MachineNeeds, type MachineRecord, type Runner, RunnerError } from "../runner.ts";
import { devicesDigest, QMP_SOCKET } from "./argv.ts";
import { boot } from "./boot.ts";
import { killByName } from "./clear.ts";
import { type Context, RUNNER_NAME, runtimeDirOf } from "./context.ts";
import { TCG_CPU } from "./cpu-models.ts";
import { proveDifference, recallDifference } from "./difference-proof.ts";
import { machineFiles } from "./disk-chain.ts";
import { openDisk } from "./disk-files.ts";
import { diskFault, flattenDisk } from "./flatten-disk.ts";
import { type QemuFacts, qemuFacts } from "./host-facts.ts";
import { HotMemory } from "./hot-memory.ts";
import { incompatible } from "./incompatible.ts";
import { type JailSupport, jailSupport } from "./jail-support.ts";
import { prepareKernel } from "./kernel/prepare.ts";
import { type KvmVerdict, proveKvm, recallKvm } from "./kvm-proof.ts";
import { liveOperations } from "./live-operations.ts";
import { QemuMachine } from "./machine.ts";
import { probe } from "./probe.ts";
import { isAlive } from "./proc.ts";
import { QmpClient } from "./qmp.ts";
import { thaw } from "./thaw.ts";
import { connectUnix } from "./unix-socket.ts";

const HOT_MEMORY_LIMIT_BYTES = 2 * 1024 ** 3;

export interface QemuRunnerOptions {
  /** `$THAW_HOME`: holds `host.json`. */
  home: string;
  /** The static guest agent, PID 1 of every machine booted from now on. */
  agentPath: string;
  /** The static helper `thaw-seal`. */
  sealPath: string;
  /** The static helper `thaw-pages`. Default: beside `thaw-seal`. */
  pagesPath?: string;
  /** Short folder for sockets, private to this user. */
  runtimeRoot: string;
  /** `auto` (default): where the host can; `required`: refuse machines where it can't; `off`: never. */
  jail?: "auto" | "required" | "off";
  /** `prove` (default): use KVM where a guest was seen to start; `never`: emulate. */
  kvm?: "prove" | "never";
  /** `prove` (default): take differences where one was seen to be replayed; `never`: always migrate. */
  difference?: "prove" | "never";
  /** Bytes of RAM for copies of unused snapshots' memory. Default 2 GiB. */
  hotMemoryLimitBytes?: number;
}

/** Does nothing until asked. */
export function createQemuRunner(options: QemuRunnerOptions): Runner {
  const context = createContext(options);
  const runner: Runner = {
    name: RUNNER_NAME,
    capabilities: { memorySnapshots: true, liveFreeze: true, pause: true, pty: true },
    probe: () => probe(context, options),
    async prepareKernel(source, signal) {
      const { agentPath, home } = options;
      const kernelsDir = join(home, "kernels");
      const { dir, version, cached } = await prepareKernel({
        ...source,
        kernelsDir,
        agentPath,
        ...(signal ? { signal } : {}),
      });
      return { kernelDir: dir, version, cached };
    },
    needs: (kernelDir, signal) => needs(context, kernelDir, signal),
    async incompatibilities(snapshot, difference) {
      const facts = await context.facts();
      const host = { ...facts, devices: devicesDigest(), kvm: await context.kvm() };
      return incompatible(snapshot.needs, host, difference?.build);
    },
    flattenDisk: (disks, target, diskMib, signal) =>
      flattenDisk(context, { disks, target, diskMib, format: "qcow2" }, signal),
    openDisk: (disks, dir, diskMib, signal) => openDisk(context, { disks, dir, diskMib }, signal),
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
          `what was frozen by ${spec.difference.build} can only be thawed by it; this host has ${build}`,
        );
      return thaw(context, spec, signal);
    },
    difference: (proof, signal) =>
      proof === undefined ? context.difference() : proveDifference(context, runner, proof, signal),
    forget: (id) => context.hotMemory.forget(id),
    adopt: (record) => adopt(context, record),
    async clear(place) {
      const runtimeDir = runtimeDirOf(context, place);
      await killByName(place.id);
      for (const left of [runtimeDir, ...machineFiles(place.stateDir)])
        await rm(left, { recursive: true, force: true });
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

async function adopt(context: Context, record: MachineRecord): Promise<QemuMachine> {
  const { id, pid, startTicks } = record;
  if (!(await isAlive(pid, startTicks)))
    throw new RunnerError("machine-gone", `machine ${id}: process ${pid} has ended`);
  const socket = await connectUnix(join(record.runtimeDir, QMP_SOCKET)).catch((cause: Error) => {
    throw new RunnerError("machine-gone", `machine ${id} runs but can't be reached: ${cause.message}`, {
      cause,
    });
  });
  const qmp = await QmpClient.open(socket);
  qmp.unref();
  const machine = new QemuMachine({ record, qmp, live: liveOperations(context) });
  await machine.catchUp();
  return machine;
}

/** Facts are found once per process; a failure is not kept. */
function createContext(options: QemuRunnerOptions): Context {
  const { home, runtimeRoot, sealPath } = options;
  const pagesPath = options.pagesPath ?? join(dirname(sealPath), "thaw-pages");
  let facts: Promise<QemuFacts> | undefined;
  let support: Promise<JailSupport> | undefined;
  let verdict: Promise<KvmVerdict> | undefined;
  const context: Context = {
    home,
    runtimeRoot,
    pagesPath,
    difference: async () =>
      options.difference === "never"
        ? { state: "broken", reason: "turned off by the daemon's settings" }
        : recallDifference(context),
    hotMemory: new HotMemory({ sealPath, limitBytes: options.hotMemoryLimitBytes ?? HOT_MEMORY_LIMIT_BYTES }),
    facts() {
      facts ??= qemuFacts(home);
      facts.catch(() => {
        facts = undefined;
      });
      return facts;
    },
    async jail() {
      if (options.jail === "off") return { jailed: false, reason: "turned off by the daemon's settings" };
      support ??= jailSupport();
      const found = await support;
      if (!found.jailed && options.jail === "required") {
        const hint = found.hint === undefined ? {} : { hint: found.hint };
        throw new RunnerError(
          "unsupported",
          `machines must be jailed and this host can't: ${found.reason}`,
          hint,
        );
      }
      return found;
    },
    async kvm(kernelDir, signal) {
      if (options.kvm === "never") return { state: "broken", reason: "turned off by the daemon's settings" };
      verdict ??= context.facts().then((found) => recallKvm(home, found));
      const known = await verdict.catch((error: unknown) => {
        verdict = undefined;
        throw error;
      });
      if (known.state !== "unproven" || kernelDir === undefined) return known;
      verdict = proveKvm(context, await context.facts(), kernelDir, signal);
      verdict.catch(() => {
        verdict = undefined;
      });
      return verdict;
    },
  };
  return context;
}
