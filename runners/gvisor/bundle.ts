/** What runsc is told of a machine: its command lines and its OCI configuration, pure. */
import { createHash } from "node:crypto";
import { PLATFORM } from "./facts.ts";

/** The agent in a root image. */
export const AGENT_IN_IMAGE = "/.thaw-agent";

/** All that the kernel knows, within the sandbox. None of it is a right on the host. */
const CAPABILITIES = [
  ...["AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER"],
  ...["KILL", "LEASE", "LINUX_IMMUTABLE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW", "SETFCAP"],
  ...["SETGID", "SETPCAP", "SETUID", "SYS_ADMIN", "SYS_CHROOT", "SYS_NICE", "SYS_PTRACE", "SYS_RESOURCE"],
].map((name) => `CAP_${name}`);

const MOUNTS = [
  ["/proc", "proc"],
  ["/sys", "sysfs"],
  ["/dev", "tmpfs"],
  ["/dev/pts", "devpts"],
  ["/dev/shm", "tmpfs"],
  ["/run", "tmpfs"],
].map(([destination, type]) => ({ destination, type, source: type }));

/**
 * The configuration of a machine whose root is an image: it is read by the sandbox itself, so no process of the host opens a file for a guest.
 * What the guest writes is kept in the sandbox's memory, and is part of each checkpoint.
 * @param root.image file with an EROFS file system @param root.mountPoint an empty folder
 */
export function ociConfig(root: { image: string; mountPoint: string }): object {
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: [AGENT_IN_IMAGE, "--stdio"],
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      cwd: "/",
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
    },
    root: { path: root.mountPoint, readonly: false },
    hostname: "thaw",
    mounts: MOUNTS,
    annotations: {
      "dev.gvisor.spec.rootfs.source": root.image,
      "dev.gvisor.spec.rootfs.type": "erofs",
      "dev.gvisor.spec.rootfs.overlay": "memory",
    },
    linux: { namespaces: ["pid", "network", "ipc", "uts", "mount"].map((type) => ({ type })) },
  };
}

/** Options of each runsc command. @param stateRoot folder for runsc's own notes of the machine */
export function runscOptions(stateRoot: string): string[] {
  return [
    ...["--root", stateRoot, "--platform", PLATFORM],
    // The machine has a loopback of its own and no other interface. Its keeper has put it into a cgroup.
    ...["--network", "none", "--ignore-cgroups"],
    // Nothing of the host's file system is shown.
    ...["--host-uds", "none", "--host-fifo", "none"],
  ];
}

/** Digest of all that a checkpoint is bound to beside the version of runsc. */
export function bundleDigest(): string {
  const shape = [ociConfig({ image: "image", mountPoint: "root" }), runscOptions("state")];
  return createHash("sha256").update(JSON.stringify(shape)).digest("hex");
}

/**
 * Has the descriptors that a keeper passes on become standard input and output. The first two are sockets that this runner has no use for.
 * @param command an absolute path and its arguments
 */
export function onPipes(command: readonly string[]): [string, ...string[]] {
  return ["/bin/sh", "-c", 'exec "$@" <&5 >&6 3<&- 4<&- 5<&- 6<&-', "sh", ...command];
}
