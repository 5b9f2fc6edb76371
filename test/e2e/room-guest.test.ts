/** The room that a program finds in a guest: kernel modules on demand, devices, limits, cgroups. */
import { expect, test } from "vitest";
import { thaw } from "../helpers/thaw.ts";

/** Lines `NAME: WORDS`; the test compares each with what a machine of its own would say. */
const LOOKS = `
cd "$(mktemp -d)"
mkdir lower upper work merged disk
echo below > lower/file
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
echo "overlay: $(cat merged/file)"
dd if=/dev/zero of=image bs=1M count=4 2>/dev/null
/sbin/mkfs.ext4 -q image
mount -o loop image disk
echo "loop: $(stat -f -c %T disk)"
echo "fuse: $( (exec 3<>/dev/fuse) && echo opened)"
echo "tun: $(ip tuntap add tap0 mode tap && ip -br link show tap0 | cut -d' ' -f1)"
ip link add br0 type bridge && ip link add va type veth peer name vb && ip link set va master br0
echo "bridge: $(ip -br link show master br0 | cut -d@ -f1)"
echo "wireguard: $(ip link add wg0 type wireguard && echo made)"
echo "asked by iptables: $(/proc/1/exe br_netfilter; cat /proc/sys/net/bridge/bridge-nf-call-iptables)"
/proc/1/exe -q -- no_such_module || echo "unknown module: $?"
echo "users: $(setpriv --reuid 1000 --regid 1000 --clear-groups unshare --user --map-root-user id -u)"
echo "open files: $(ulimit -n 1048576 && ulimit -n)"
echo "shm: $(stat -f -c %T /dev/shm) $(stat -c %a /dev/shm)"
echo "zone: $(tail -n 1 /etc/localtime | tr -d '\\n') $(date +%Z)"
# What a container runtime does with cgroups.
cd /sys/fs/cgroup
echo "controllers: $(cat cgroup.subtree_control)"
mkdir box && echo '+memory +pids +cpu +cpuset +io' > box/cgroup.subtree_control && mkdir box/inner
echo 16M > box/inner/memory.max && echo 0 > box/inner/memory.swap.max 2>/dev/null
sh -c 'echo 0 > box/inner/cgroup.procs; exec tail /dev/zero' 2>/dev/null
echo "killed: $? $(grep '^oom_kill ' box/inner/memory.events)"
`;

test("kernel modules load when they are needed, and limits, devices and cgroups are those of a machine of one's own", async () => {
  const ran = await thaw(["run", "--template", "base", "--", "sh", "-c", LOOKS]);
  expect([ran.exitCode, String(ran.stdout).trim().split("\n")], String(ran.stderr)).toEqual([
    0,
    [
      "overlay: below",
      "loop: ext2/ext3",
      "fuse: opened",
      "tun: tap0",
      "bridge: va",
      "wireguard: made",
      "asked by iptables: 1",
      "unknown module: 1",
      "users: 0",
      "open files: 1048576",
      "shm: tmpfs 1777",
      "zone: UTC0 UTC",
      expect.stringMatching(/^controllers: (?=.*cpuset)(?=.*io)(?=.*memory)(?=.*pids)/),
      "killed: 137 oom_kill 1",
    ],
  ]);
});
