/**
 * The jail a machine runs in, as options of the keeper, which sets it up: no network, no host processes, an empty root with `/usr` and the
 * machine's own files, no capabilities, and (when the daemon is root) a uid of its own. Root sets it up with root's rights and without a user
 * namespace, so that files below private folders can be shown.
 */

/** Where the machine's own folder is within the jail, and that of its host's sockets. */
export const JAIL_RUNTIME_DIR = "/run/thaw";
export const JAIL_HOST_DIR = "/run/host";
/** Where the files shown by name are. */
export const JAIL_FILES_DIR = "/machine";

export interface JailBinding {
  source: string;
  /** Path in the jail; its parent is one level below the root at most. */
  target: string;
  writable: boolean;
}

/** What holds a process that runs what others wrote. */
export interface Limits {
  memoryBytes: number;
  processes: number;
  /** Weight against other machines, in CPUs. */
  cpus: number;
  /** Nobody waits for it: less weight, until its keeper is told otherwise. */
  background?: boolean | undefined;
  /** The longest file it may write. */
  fileBytes: number;
}

export interface JailOptions {
  id: string;
  /** Folder on which the jail's root is mounted, in its own namespace; the keeper makes it. */
  dir: string;
  jailed: boolean;
  /** Whether /dev/kvm is shown. */
  kvm: boolean;
  /** Where the command is runsc: what the sandbox takes over from where it is started. */
  gvisor?: { memoryBytes: number; input: string; output: string } | undefined;
  bindings: readonly JailBinding[];
  /** Files and folders that become the property of the jail's uid when it has one of its own. */
  own: readonly string[];
  limits: Limits;
  /** The cgroup that has all machines of this runner. */
  cgroup: string;
  command: readonly [string, ...string[]];
}

/** argv of `thaw-keeper run` and `thaw-jail`, after what is theirs alone. */
export function jailArgv(options: JailOptions): string[] {
  const { limits, gvisor } = options;
  return [
    ...["--id", options.id, "--dir", options.dir, "--cgroup", options.cgroup],
    ...["--memory", String(limits.memoryBytes), "--pids", String(limits.processes)],
    ...["--cpus", String(limits.cpus), "--file", String(limits.fileBytes)],
    ...(limits.background === true ? ["--background"] : []),
    ...(options.jailed ? ["--jail"] : []),
    ...(options.kvm ? ["--kvm"] : []),
    ...(gvisor ? ["--gvisor", String(gvisor.memoryBytes), gvisor.input, gvisor.output] : []),
    ...options.bindings.flatMap(({ source, target, writable }) => [
      ...[writable ? "--rw" : "--ro", source, target],
    ]),
    ...options.own.flatMap((path) => ["--own", path]),
    ...["--", ...options.command],
  ];
}
