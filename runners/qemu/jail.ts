/**
 * The jail QEMU runs in, pure: what it may see in, bubblewrap's argv out. No network, no host processes, an empty root with `/usr` and the
 * machine's own files, no capabilities, and (when the daemon is root) a uid of its own as seen from the host. Root sets the jail up
 * with root's rights and without a user namespace, so that files below private folders can be bound; QEMU starts as the unprivileged uid.
 */
import { createHash } from "node:crypto";

/** Where the machine's runtime folder is within the jail. */
export const JAIL_RUNTIME_DIR = "/run/thaw";
/** Where the files bound by name are. */
export const JAIL_FILES_DIR = "/machine";

export interface JailBinding {
  source: string;
  /** Path in the jail. */
  target: string;
  writable: boolean;
}

export interface JailOptions {
  /** uid and gid of QEMU on the host when the daemon is root; absent: the daemon's own, in a user namespace. */
  uid?: number;
  /** Device node to be /dev/kvm; absent when machines are emulated. */
  kvmDevice?: string | undefined;
  bindings: readonly JailBinding[];
  /** Inherited descriptor to which bwrap writes the pid of QEMU. */
  infoFd: number;
  command: readonly [string, ...string[]];
}

/** First of 2^24 uids, one per machine; far from those of users, containers and systemd. */
const FIRST_UID = 1_900_000_000;

/** The uid of a machine, from its id. Two machines share one with a chance of one in 16 million. */
export function jailUid(id: string): number {
  return FIRST_UID + createHash("sha256").update(id).digest().readUIntBE(0, 3);
}

/** bwrap's argv after the program's name. QEMU is PID 1 of its namespace, so killing it leaves nothing. */
export function jailArgv(options: JailOptions): string[] {
  const asRoot = options.uid !== undefined;
  return [
    ...[
      "--unshare-pid",
      "--unshare-net",
      "--unshare-ipc",
      "--unshare-uts",
      "--unshare-cgroup-try",
      "--hostname",
      "thaw",
    ],
    ...(asRoot
      ? [
          "--cap-drop",
          "ALL",
          "--cap-add",
          "CAP_SETUID",
          "--cap-add",
          "CAP_SETGID",
          "--cap-add",
          "CAP_SETPCAP",
        ]
      : ["--unshare-user"]),
    ...[
      "--as-pid-1",
      "--info-fd",
      String(options.infoFd),
      "--clearenv",
      "--setenv",
      "PATH",
      "/usr/bin",
      "--chdir",
      "/",
    ],
    ...["--tmpfs", "/", "--ro-bind", "/usr", "/usr"],
    ...["--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin"],
    // Folders bwrap makes on its own way to a target are private to root.
    ...["/etc", "/run", JAIL_FILES_DIR].flatMap((dir) => ["--perms", "0755", "--dir", dir]),
    ...["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache", "--proc", "/proc", "--dev", "/dev"],
    ...(options.kvmDevice === undefined ? [] : ["--dev-bind", options.kvmDevice, "/dev/kvm"]),
    ...options.bindings.flatMap((binding) => [
      binding.writable ? "--bind" : "--ro-bind",
      binding.source,
      binding.target,
    ]),
    ...["--remount-ro", "/", "--"],
    ...(options.uid === undefined ? [] : dropRoot(options.uid)),
    ...options.command,
  ];
}

function dropRoot(uid: number): string[] {
  return [
    ...["/usr/bin/setpriv", "--reuid", String(uid), "--regid", String(uid), "--clear-groups"],
    ...["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"],
  ];
}
