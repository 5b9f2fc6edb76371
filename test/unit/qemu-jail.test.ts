import { expect, test } from "vitest";
import { jailArgv, jailUid } from "../../runners/qemu/jail.ts";

const options = {
  bindings: [
    { source: "/run/thaw/box-1", target: "/run/thaw", writable: true },
    { source: "/state/snapshots/s/disk.qcow2", target: "/machine/base.qcow2", writable: false },
  ],
  infoFd: 3,
  command: ["/usr/bin/qemu-system-x86_64", "-name", "x"] as [string, ...string[]],
};

test("root sets the jail up and QEMU starts as a uid of its own", () => {
  expect(jailArgv({ ...options, uid: 1_900_000_001 }).join("\n")).toMatchInlineSnapshot(`
    "--unshare-pid
    --unshare-net
    --unshare-ipc
    --unshare-uts
    --unshare-cgroup-try
    --hostname
    thaw
    --cap-drop
    ALL
    --cap-add
    CAP_SETUID
    --cap-add
    CAP_SETGID
    --cap-add
    CAP_SETPCAP
    --as-pid-1
    --info-fd
    3
    --clearenv
    --setenv
    PATH
    /usr/bin
    --chdir
    /
    --tmpfs
    /
    --ro-bind
    /usr
    /usr
    --symlink
    usr/lib
    /lib
    --symlink
    usr/lib64
    /lib64
    --symlink
    usr/bin
    /bin
    --perms
    0755
    --dir
    /etc
    --perms
    0755
    --dir
    /run
    --perms
    0755
    --dir
    /machine
    --ro-bind-try
    /etc/ld.so.cache
    /etc/ld.so.cache
    --proc
    /proc
    --dev
    /dev
    --bind
    /run/thaw/box-1
    /run/thaw
    --ro-bind
    /state/snapshots/s/disk.qcow2
    /machine/base.qcow2
    --remount-ro
    /
    --
    /usr/bin/setpriv
    --reuid
    1900000001
    --regid
    1900000001
    --clear-groups
    --inh-caps=-all
    --bounding-set=-all
    --no-new-privs
    /usr/bin/qemu-system-x86_64
    -name
    x"
  `);
});

test("others use a user namespace", () => {
  const argv = jailArgv(options);
  expect(argv).toContain("--unshare-user");
  expect(argv).not.toContain("--cap-add");
  expect(argv.slice(argv.indexOf("--") + 1)).toEqual(options.command);
});

test("the jail never has a network and never ends with its parent", () => {
  for (const argv of [jailArgv(options), jailArgv({ ...options, uid: 1_900_000_001 })]) {
    expect(argv).toContain("--unshare-net");
    expect(argv).not.toContain("--share-net");
    expect(argv).not.toContain("--die-with-parent");
  }
});

test("/dev/kvm is there only when it is used", () => {
  expect(jailArgv(options)).not.toContain("/dev/kvm");
  expect(jailArgv({ ...options, kvmDevice: "/run/thaw/box-1/kvm" }).join(" ")).toContain(
    "--dev-bind /run/thaw/box-1/kvm /dev/kvm",
  );
});

test("uids are stable and in a range of their own", () => {
  expect(jailUid("box-1")).toBe(jailUid("box-1"));
  expect(jailUid("box-1")).not.toBe(jailUid("box-2"));
  for (let n = 0; n < 1000; n++) {
    const uid = jailUid(`box-${n}`);
    expect(uid).toBeGreaterThanOrEqual(1_900_000_000);
    expect(uid).toBeLessThan(2 ** 31);
  }
});
