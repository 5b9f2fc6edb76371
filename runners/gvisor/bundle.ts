/** What runsc is told of a machine: its command lines and its OCI configuration, pure. */
import { createHash } from "node:crypto";
import { PLATFORM } from "./facts.ts";

/** Another number stands for another form of a checkpoint's files. */
const STATE_FORM = 2;

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

interface Root {
  /** File with an EROFS file system. */
  image: string;
  /** An empty folder. */
  mountPoint: string;
}

/**
 * The configuration of a machine whose root is an image: it is read by the sandbox itself, so no process of the host opens a file for a guest.
 * What the guest writes is kept in the sandbox's memory, and is part of each checkpoint.
 */
export function ociConfig({ root, cpus }: { root: Root; cpus: number }): object {
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: [AGENT_IN_IMAGE, "--stdio", String(cpus)],
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
    linux: {
      namespaces: [
        ...["pid", "ipc", "uts", "mount"].map((type) => ({ type })),
        { type: "network", path: "/proc/self/ns/net" },
      ],
    },
  };
}

/** Options of each runsc command. @param stateRoot folder for runsc's own notes of the machine */
export function runscOptions(stateRoot: string): string[] {
  return [
    ...["--root", stateRoot, "--platform", PLATFORM],
    // The interfaces of its network namespace, which has a loopback only. Its keeper has put it into a cgroup.
    ...["--network", "sandbox", "--ignore-cgroups"],
    // The agent redirects connections, for which gVisor wants such a socket. No packet can leave.
    "--net-raw",
    // Nothing of the host's file system is shown.
    ...["--host-uds", "none", "--host-fifo", "none"],
  ];
}

/** Digest of all that a checkpoint is bound to beside the version of runsc. */
export function bundleDigest(): string {
  const config = ociConfig({ root: { image: "image", mountPoint: "root" }, cpus: 1 });
  const shape = [config, runscOptions("state"), STATE_FORM];
  return createHash("sha256").update(JSON.stringify(shape)).digest("hex");
}
