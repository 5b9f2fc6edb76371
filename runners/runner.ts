/**
 * The contract between the engine and whatever makes machines.
 *
 * A runner makes *machines*: isolated computers that run the guest agent and outlive the process that started them. It knows
 * nothing of sandboxes, tags or clients. Everything a later process needs to find a machine again is in its `MachineRecord`, which is
 * plain JSON and which the engine stores.
 *
 * Every method that waits takes an `AbortSignal` and has a deadline of its own; when it rejects, nothing it made is left behind.
 * Errors are `RunnerError`s: a code, what failed with the value, and a hint that says what to type.
 */
import type { Agent } from "./agent/agent.ts";
import type { OpenOptions } from "./agent/session.ts";

/** How strongly a machine is separated from its host. Shown wherever a sandbox is shown. */
export type Isolation = "kvm" | "gvisor" | "emulated (jailed)" | "emulated (not jailed)";

/** One line of `thaw doctor`. `fatal` means that machines can't be made without it. */
export interface Probe {
  name: string;
  state: "ok" | "warning" | "missing";
  fatal: boolean;
  /** What was found, with the version or the value. */
  detail: string;
  /** The command or setting that mends it. Absent when ok. */
  hint?: string;
}

/** What a runner can do, as data: the engine refuses what is absent before any side effect. */
export interface Capabilities {
  memorySnapshots: boolean;
  liveFreeze: boolean;
  pause: boolean;
  pty: boolean;
  /** A machine tells when its disk has grown (`watchDiskGrowth`). */
  diskGrowth: boolean;
  /** What a machine writes is on a disk of its own: without its memory, the disk can be booted and its files can be read. */
  ownDisk: boolean;
  /** Cached folders (`formatCache`, `saveCache`). */
  caches: boolean;
  /** Connections out of a machine. */
  egress: boolean;
  /** What another host has frozen is thawed here. */
  travel: boolean;
  /** A machine's kernel is its own: it panics, loads modules, is powered off by a program, and holds a crashed process. */
  ownKernel: boolean;
  /** Where the daemon is root, each machine's processes have a user of their own. */
  ownUser: boolean;
}

/** How a tree of files becomes the disk that machines boot from, where that is not an ext4 file system in a qcow2 file. */
export interface RootDisk {
  /** What the disk depends on beside the tree: another value stands for another disk. Rejects with why no machine can be made here. */
  key(): Promise<string>;
  /** Makes the file `image`. It runs with the rights of the tree's owners; nothing that is in the tree may be run or followed. */
  argv(of: { tree: string; image: string }): [string, ...string[]];
  debianPackage: string;
}

/** What a runner takes of its host's memory. Answers without asking a machine. */
export interface RunnerMemory {
  /** A machine may take this much beyond its guest's memory. */
  readonly overheadMib: number;
  /** The helper that takes a difference, or opens what travels, takes this much at most. */
  readonly helperMib: number;
  use(): {
    /** Owned by machines alone, all together; null: this host does not count it. */
    machinesMib: number | null;
    /** Left of a limit that is set on all machines together from outside; null: there is none. */
    leftMib: number | null;
  };
  /** Whether a clone of this snapshot or difference takes a copy of its memory in RAM, which is not there yet. */
  needsCopy(id: string): Promise<boolean>;
  /** Calls `onStall` each time tasks of the host have stood still for want of memory, until the result is called. */
  watchStalls(onStall: () => void): () => void;
  /** Lets go of copies in RAM that no machine is being made of. They are made again when they are needed. @returns their size */
  dropCopies(): number;
}

/** Resources of a machine. A snapshot is bound to them. */
export interface Resources {
  cpus: number;
  memoryMib: number;
  /** Virtual size of the root disk. */
  diskMib: number;
}

/** What a machine needs of its host, recorded in a snapshot and compared before every thaw (QEMU itself notices almost nothing). */
export interface MachineNeeds {
  runner: string;
  /** Exact build, e.g. "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)". */
  build: string;
  accelerator: "kvm" | "tcg" | "systrap";
  machine: string;
  cpu: string;
  kernel: string;
  /** Digest of the argv that describes devices, so that a thaw with another device list is refused. */
  devices: string;
}

/** What is on disk to thaw from: plain files in `dir`, each immutable. */
export interface SnapshotFiles {
  /** Absolute folder holding `memory`, `devices`, `disk.qcow2` and its layers. */
  dir: string;
  /** Names in `dir` of disk layers above `disk.qcow2`, lowest first (`layer-1.qcow2`, …). Absent: none. */
  layers?: readonly string[];
  /** Names the hot copy of the memory; same id = same bytes. */
  id: string;
  resources: Resources;
  needs: MachineNeeds;
  /** It came from elsewhere, so its device state may be made to take over the hypervisor: it is thawed in a jail or not at all. */
  imported?: boolean;
}

/** What an operator decides about machines. */
export interface RunnerSettings {
  /** Everything takes this many times as long as on a common machine. */
  slow?: number | undefined;
  /** CPU models of guests under KVM, best first: the first that the host's CPU has whole is taken. Absent: the runner's own choice. */
  kvmCpus?: readonly string[] | undefined;
  /** False: guests under KVM boot without their kernel's mitigations. Default true. */
  mitigations?: boolean | undefined;
}

export interface MachinePlace {
  /** The machine's own id: two machines that live at the same time must not share one. `[a-z0-9-]{1,40}`. */
  id: string;
  /** Existing folder for what lives on disk: the overlay, console.log. Owned by the caller. */
  stateDir: string;
}

/** A Debian suite whose kernel machines boot, and where to fetch it from. */
export interface KernelSource {
  /** e.g. `bookworm` */
  suite: string;
  /** Used instead when it is here already, whatever its suite: the kernel that a disk was used with before. */
  version?: string | undefined;
  /** One-line apt sources of the suite; null: the host's own apt has it. Asked only when the kernel is not here yet. */
  sources(): Promise<readonly string[] | null>;
}

export interface BootSpec extends MachinePlace {
  resources: Resources;
  /** Folder with `vmlinuz`, `initrd` (agent inside) and `version`; see `prepareKernel`. */
  kernelDir: string;
  /** A root disk (qcow2 or raw ext4) the machine writes to directly. */
  disk: { path: string; format: "raw" | "qcow2" };
  /** When the machine is to be frozen: where its memory lives from the start. Absent: anonymous memory. */
  memoryFile?: string;
}

export interface ThawSpec extends MachinePlace {
  snapshot: SnapshotFiles;
  /** What a machine of this very snapshot had become: thaws that machine's state. */
  difference?: DifferenceFiles | undefined;
  /**
   * A layer that `Machine.saveCache` or `Runner.formatCache` made for a disk of this size, in the room for cached folders. It becomes a part of the
   * machine's disk, for as long as that lives and in all that is taken of it; the file itself is never written. Not with `difference`.
   */
  cache?: string | undefined;
  /** Don't let it go on: it is only looked at. */
  paused?: boolean;
  /** Nobody waits for it: others go first, until `Machine.foreground`. */
  background?: boolean | undefined;
}

/** Where a live freeze puts the new snapshot's files, and the second machine that it needs meanwhile. */
export interface LiveFreezeSpec extends MachinePlace {
  /** Existing folder; receives `memory`, `devices`, `disk.qcow2` and layers. */
  dir: string;
  /** A machine that changes memory faster than it can be sent is stopped after this. Default 20 s. */
  deadlineMs?: number;
}

export interface LiveFreeze {
  /** QEMU build (or the like) that saved it. */
  build: string;
  /** Disk layers written above `disk.qcow2`, lowest first. */
  layers: string[];
  /** For how long the machine stood still. */
  pauseMs: number;
  totalMs: number;
  /** False when the machine had to be stopped to come to an end. */
  converged: boolean;
  /** As of {@link MachineRecord}. */
  imported: boolean;
}

/** How a machine differs from the snapshot it was thawed from, at one instant. Plain files in `dir`, each immutable. */
export interface DifferenceFiles {
  /** Absolute folder holding `pages` (memory), `devices` and the disk's layers. */
  dir: string;
  /** Names the hot memory its clones share; same id = same bytes. */
  id: string;
  /** Names in `dir` of disk layers above the snapshot's own, lowest first. */
  layers: string[];
  /** QEMU build (or the like) that alone can thaw it. */
  build: string;
  /** As of {@link SnapshotFiles}. */
  imported?: boolean;
}

export interface Difference extends DifferenceFiles {
  pauseMs: number;
  /** Memory copied while the machine stood still. */
  copiedBytes: number;
}

/** Whether this host can take and thaw differences, as its self-test found. */
export type DifferenceVerdict =
  /** `at`: when it was proven (ISO 8601); null when that was not recorded. */
  | { state: "works"; at: string | null }
  /** `broken`: it failed and is not tried for now; `reason` says why and when it will be. `unproven`: the next use tries it. */
  | { state: "broken" | "unproven"; reason: string };

/** Plain JSON; all a later process needs to adopt, or to clean up after, a machine. */
export interface MachineRecord {
  runner: string;
  id: string;
  /** Folder with the machine's sockets. Short: a socket's path has 107 bytes at most. */
  runtimeDir: string;
  stateDir: string;
  isolation: Isolation;
  /** uid of the machine as seen from the host; where the daemon is root and `ownUser`, no other machine that lives has it. */
  uid: number;
  resources: Resources;
  needs: MachineNeeds;
  /** Its state, or that of a machine that it stems from, came from elsewhere: what is frozen of it is thawed in a jail or not at all. */
  imported: boolean;
  /** The host's boot that it runs in (`/proc/sys/kernel/random/boot_id`). Absent in records of earlier versions. */
  hostBoot?: string | undefined;
}

/** Why a machine is no longer running, or not for now. */
export type MachineEnd =
  | {
      kind: "exited";
      detail: string;
      /** How the process ended. Absent when that is not known, or when it still runs and can't be controlled. */
      cause?: "exit" | "signal" | "out-of-memory";
    }
  | { kind: "powered-off" }
  | { kind: "rebooted" }
  | { kind: "panicked" }
  /** It stands still, and goes on with `resume` once the host's disk has room. */
  | { kind: "disk-full"; detail: string }
  /** It stands still: the host could not read or write its disk. */
  | { kind: "disk-failed"; detail: string };

export interface MachineStats {
  /** Proportional share of memory, bytes. */
  pssBytes: number;
  rssBytes: number;
  cpuMs: number;
}

export interface DifferenceOptions {
  signal?: AbortSignal | undefined;
  /** The machine is not stopped before this has settled; what can be prepared is prepared meanwhile. */
  after?: Promise<unknown> | undefined;
}

export interface Machine {
  readonly record: MachineRecord;
  /** Called once for each end; `disk-full` may be followed by others. Also reports an end that happened while no process was attached. */
  onEnd(listener: (end: MachineEnd) => void): void;
  /**
   * Calls `onDiskGrowth` once when the machine has written `bytes` more to its own disk files. Replaces the watch before. Needs `diskGrowth`.
   * A cut or a flattening of the disk ends the watch, which is told as growth.
   */
  watchDiskGrowth(bytes: number): Promise<void>;
  onDiskGrowth(listener: () => void): void;
  /** Opens a session with the guest's agent. One at a time; the caller closes it. Rejects with a `SessionError`. */
  agent(options: OpenOptions): Promise<Agent>;
  pause(): Promise<void>;
  /** Lets the machine run (after `boot` it runs already, after `thaw` too). */
  resume(): Promise<void>;
  /** One that was thawed in the background gets as much of the host's CPUs as any other from now on. */
  foreground(): Promise<void>;
  state(): Promise<"running" | "paused" | "ended">;
  /**
   * Saves the device state to `dir/devices` and stops the machine for good. Memory must have been given as `BootSpec.memoryFile`, the
   * agent must have been quiesced. On return the files are complete and the process is gone.
   */
  freeze(dir: string): Promise<void>;
  /**
   * Makes a snapshot's files of a thawed machine that goes on running (a paused one stays paused). Needs `liveFreeze`. Memory and disk are of
   * the same instant. On return the files are complete and read-only.
   */
  freezeLive(spec: LiveFreezeSpec, signal?: AbortSignal): Promise<LiveFreeze>;
  /**
   * Writes how a thawed machine differs from its snapshot into the existing folder `dir`. The machine stands still for as long as it takes to
   * copy the memory that it has written. Only where `Runner.difference` says `works`, and `whyNoDifference` nothing.
   */
  takeDifference(dir: string, options?: DifferenceOptions): Promise<Difference>;
  /** Why a difference of this machine could not be thawed on a host that takes them; null when it could. */
  whyNoDifference(): Promise<string | null>;
  /** Writes its physical memory and registers as an ELF core into its state folder. @returns the file's path; what is in it is the guest's. */
  dumpMemory(): Promise<string>;
  /**
   * Copies the room for cached folders, as it is on the machine's disk at one instant, into the new file `target`: a layer for other machines. The
   * machine stands still for some milliseconds. What is in it is the guest's. On rejection there is no `target`.
   */
  saveCache(target: string, writing: DiskWriting): Promise<void>;
  /**
   * Ends the process, at once, and removes its runtime folder. Idempotent. Rejects with `timeout` when the process does not die and with
   * `unresponsive` when nothing can be learned about it: the machine must then be counted as alive, and `stop` may be called again.
   */
  stop(): Promise<void>;
  /** The last 64 KiB the guest wrote to its serial console, as far as known; also after its end. Untrusted: escape before showing. */
  console(): Promise<string>;
  stats(): Promise<MachineStats>;
  /** Lets go of the machine's sockets without touching it (the daemon is leaving), once an operation under way has let it go on. */
  detach(): Promise<void>;
}

/** Something in a folder of a disk; names are the guest's. */
export interface DiskEntry {
  inode: number;
  name: string;
  type: "file" | "dir" | "symlink" | "fifo" | "socket" | "block" | "char";
  /** Bytes of a file. */
  size: number;
  /** Permission bits. */
  mode: number;
  uid: number;
  gid: number;
}

/** A disk opened for reading, without a machine. */
export interface DiskFiles {
  readonly root: number;
  /**
   * What is in a folder. Each has one parent (the root: itself) and one name: a disk where that is not so is refused (`corrupt-snapshot`), so that nobody walks in
   * circles.
   */
  list(inode: number, parent: number, signal: AbortSignal): Promise<DiskEntry[]>;
  read(inode: number, signal: AbortSignal): AsyncIterable<Buffer>;
}

/** Room for what a runner writes on the host's disk. What others made may open to much more than it is. */
export interface DiskWriting {
  /** Throws when that many bytes more can't be written. Asked before writing, and again and again meanwhile; the work ends when it throws. */
  room(bytes: number): Promise<void>;
  signal?: AbortSignal | undefined;
}

export interface Runner {
  readonly name: string;
  readonly capabilities: Capabilities;
  readonly rootDisk: RootDisk | null;
  readonly memory: RunnerMemory;
  /** From the next boot on. What was proven with other settings is proven again. */
  configure(settings: RunnerSettings): void;
  /** Never throws. One entry per thing the host needs. Cheap (no boot): what costs time is proven at first use and remembered. */
  probe(): Promise<Probe[]>;
  /**
   * Fetches and unpacks what machines boot from, once per version; quick when it is there. `kernelDir` goes into `needs` and `boot`. `library` is a
   * tree stream (docs/PROTOCOL.md) of the modules that a guest can load, as its `/lib/modules/VERSION`; null: there is none.
   */
  prepareKernel(
    source: KernelSource,
    signal?: AbortSignal,
  ): Promise<{ kernelDir: string; version: string; library: string | null; cached: boolean }>;
  /** Why machines are emulated here: slow, and weakly isolated. Null when they are not, or when that is not known yet. Nothing is tried. */
  emulation(): Promise<string | null>;
  /** What this host would record in a snapshot made now; proves KVM by a boot under a deadline on first use. */
  needs(kernelDir: string, signal?: AbortSignal): Promise<MachineNeeds>;
  /** Why `snapshot`, or a difference to it, can't be thawed here, one sentence each; empty when it can. No I/O beyond `stat`, but for a proof of KVM that an upgrade of the host asks for again. */
  incompatibilities(snapshot: SnapshotFiles, difference?: Pick<DifferenceFiles, "build">): Promise<string[]>;
  /** Makes one disk of a chain, lowest first, whatever is in those files: they are looked at before, and opened confined. */
  flattenDisk(disks: readonly string[], target: string, diskMib: number, writing: DiskWriting): Promise<void>;
  /** Opens a chain for reading its files, confined as well. The existing folder `dir` holds what that takes, until the caller removes it. */
  openDisk(disks: readonly string[], dir: string, diskMib: number, writing: DiskWriting): Promise<DiskFiles>;
  /** Makes the new file `target` a layer with an empty file system for cached folders. On rejection there is no `target`. */
  formatCache(target: string, diskMib: number, writing: DiskWriting): Promise<void>;
  /**
   * What keeps a disk that was made elsewhere from being used, in words that follow its name; null when nothing does. It must stand alone and
   * have its machine's size.
   * @param start the first 4 KiB of its file, or all of it
   */
  diskFault(start: Buffer, diskMib: number): string | null;
  /** Cold boot. Resolves when the process runs; the guest needs seconds more to answer. */
  boot(spec: BootSpec, signal?: AbortSignal): Promise<Machine>;
  /** Restores and lets run, unless it is to stay paused. Resolves when the machine has been continued. */
  thaw(spec: ThawSpec, signal?: AbortSignal): Promise<Machine>;
  /**
   * What is known of the difference path on this host; with `proof` it is proven with a clone of that snapshot when nothing is. One such test
   * is under way at most; callers that come meanwhile wait for its result.
   */
  difference(
    proof?: { snapshot: SnapshotFiles; place: MachinePlace },
    signal?: AbortSignal,
  ): Promise<DifferenceVerdict>;
  /** Lets go of what is kept hot of a snapshot or difference that no machine will be thawed from again. */
  forget(id: string): void;
  /**
   * Takes up a machine another process started. Rejects with `machine-gone` when it is dead, `RunnerError.end` says how it ended; with
   * `unresponsive` when it lives, or may live, and does not answer within seconds: then it may be tried again, and `clear` ends it.
   */
  adopt(record: MachineRecord): Promise<Machine>;
  /**
   * Removes all that is left of a machine whose record may be incomplete (a crash while starting it): processes, sockets, its disk. Rejects as
   * `Machine.stop` does, and may be repeated.
   */
  clear(place: MachinePlace): Promise<void>;
  /** Ends processes that no `adopt` could find, left by a host's helpers that were killed. For the start of a daemon. Never rejects. */
  sweep(): Promise<void>;
}

export type RunnerErrorCode =
  | "missing-tool"
  | "no-space"
  | "no-memory"
  | "start-failed"
  | "timeout"
  | "machine-gone"
  /** The machine, or what looks after it, does not answer. It is not known to have ended. */
  | "unresponsive"
  | "incompatible"
  | "corrupt-snapshot"
  | "unsupported";

export class RunnerError extends Error {
  override readonly name = "RunnerError";
  readonly code: RunnerErrorCode;
  readonly hint: string | undefined;
  /** With `machine-gone`: how the machine ended, as far as known. */
  readonly end: MachineEnd | undefined;
  constructor(
    code: RunnerErrorCode,
    message: string,
    options: { hint?: string; cause?: unknown; end?: MachineEnd } = {},
  ) {
    super(message, { cause: options.cause });
    this.end = options.end;
    this.code = code;
    this.hint = options.hint;
  }
}
