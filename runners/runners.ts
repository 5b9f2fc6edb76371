/** All runners of a host as one: what concerns a machine, a snapshot or a record goes to the runner that made it, the rest to the chosen one. */
import {
  type BootSpec,
  type Capabilities,
  type DifferenceFiles,
  type DifferenceVerdict,
  type DiskFiles,
  type DiskWriting,
  type KernelSource,
  type Machine,
  type MachineNeeds,
  type MachinePlace,
  type MachineRecord,
  type Probe,
  type RootDisk,
  type Runner,
  RunnerError,
  type RunnerMemory,
  type RunnerSettings,
  type SnapshotFiles,
  type ThawSpec,
} from "./runner.ts";

export class Runners implements Runner {
  readonly #all: readonly Runner[];
  readonly #chosen: Runner;
  readonly memory: RunnerMemory;

  /** @param chosen default: the first */
  constructor(all: readonly [Runner, ...Runner[]], chosen: Runner = all[0]) {
    this.#all = all;
    this.#chosen = chosen;
    this.memory = memoryOf(all);
  }

  get names(): string[] {
    return this.#all.map(({ name }) => name);
  }

  /** Throws `unsupported` when there is no such runner here. */
  of(name: string): Runner {
    const found = this.#all.find((one) => one.name === name);
    if (found !== undefined) return found;
    throw new RunnerError("unsupported", `there is no runner ${name} here`, {
      hint: `runners: ${this.names.join(", ")}`,
    });
  }

  /** The same runners, with another one chosen. */
  choose(name: string): Runners {
    return new Runners(this.#all as [Runner, ...Runner[]], this.of(name));
  }

  get name(): string {
    return this.#chosen.name;
  }

  get capabilities(): Capabilities {
    return this.#chosen.capabilities;
  }

  get rootDisk(): RootDisk | null {
    return this.#chosen.rootDisk;
  }

  configure(settings: RunnerSettings): void {
    for (const one of this.#all) one.configure(settings);
  }

  async probe(): Promise<Probe[]> {
    return (await Promise.all(this.#all.map((one) => one.probe()))).flat();
  }

  prepareKernel(source: KernelSource, signal?: AbortSignal): ReturnType<Runner["prepareKernel"]> {
    return this.#chosen.prepareKernel(source, signal);
  }

  emulation(): Promise<string | null> {
    return this.#chosen.emulation();
  }

  needs(kernelDir: string, signal?: AbortSignal): Promise<MachineNeeds> {
    return this.#chosen.needs(kernelDir, signal);
  }

  async incompatibilities(
    snapshot: SnapshotFiles,
    difference?: Pick<DifferenceFiles, "build">,
  ): Promise<string[]> {
    const { runner } = snapshot.needs;
    if (!this.names.includes(runner)) return [`it was made by the ${runner} runner, which is not here`];
    return this.of(runner).incompatibilities(snapshot, difference);
  }

  flattenDisk(
    disks: readonly string[],
    target: string,
    diskMib: number,
    writing: DiskWriting,
  ): Promise<void> {
    return this.#chosen.flattenDisk(disks, target, diskMib, writing);
  }

  openDisk(disks: readonly string[], dir: string, diskMib: number, writing: DiskWriting): Promise<DiskFiles> {
    return this.#chosen.openDisk(disks, dir, diskMib, writing);
  }

  formatCache(target: string, diskMib: number, writing: DiskWriting): Promise<void> {
    return this.#chosen.formatCache(target, diskMib, writing);
  }

  diskFault(start: Buffer, diskMib: number): string | null {
    return this.#chosen.diskFault(start, diskMib);
  }

  boot(spec: BootSpec, signal?: AbortSignal): Promise<Machine> {
    return this.#chosen.boot(spec, signal);
  }

  async thaw(spec: ThawSpec, signal?: AbortSignal): Promise<Machine> {
    return this.of(spec.snapshot.needs.runner).thaw(spec, signal);
  }

  difference(
    proof?: { snapshot: SnapshotFiles; place: MachinePlace },
    signal?: AbortSignal,
  ): Promise<DifferenceVerdict> {
    return this.#chosen.difference(proof, signal);
  }

  forget(id: string): void {
    for (const one of this.#all) one.forget(id);
  }

  async adopt(record: MachineRecord): Promise<Machine> {
    return this.of(record.runner).adopt(record);
  }

  /** The record of a machine that was being made may not tell its runner. */
  async clear(place: MachinePlace): Promise<void> {
    for (const one of this.#all) await one.clear(place);
  }

  async sweep(): Promise<void> {
    await Promise.all(this.#all.map((one) => one.sweep()));
  }
}

function memoryOf(all: readonly Runner[]): RunnerMemory {
  const most = (of: (memory: RunnerMemory) => number): number =>
    Math.max(...all.map(({ memory }) => of(memory)));
  return {
    overheadMib: most(({ overheadMib }) => overheadMib),
    helperMib: most(({ helperMib }) => helperMib),
    use() {
      const uses = all.map(({ memory }) => memory.use());
      const known = (values: (number | null)[]): number[] => values.filter((value) => value !== null);
      const machines = known(uses.map(({ machinesMib }) => machinesMib));
      const left = known(uses.map(({ leftMib }) => leftMib));
      return {
        machinesMib: machines.length === 0 ? null : machines.reduce((sum, one) => sum + one, 0),
        leftMib: left.length === 0 ? null : Math.min(...left),
      };
    },
    async needsCopy(id) {
      return (await Promise.all(all.map(({ memory }) => memory.needsCopy(id)))).includes(true);
    },
    watchStalls(onStall) {
      const stops = all.map(({ memory }) => memory.watchStalls(onStall));
      return () => stops.forEach((stop) => void stop());
    },
    dropCopies: () => all.reduce((sum, { memory }) => sum + memory.dropCopies(), 0),
  };
}
