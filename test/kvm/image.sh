#!/usr/bin/env bash
# image.sh OUT: makes what the emulated machine boots from, as root: OUT/vmlinuz, OUT/initrd and OUT/root.img, a Debian 13 with systemd, sshd and
# what thaw needs, by mmdebstrap. About a minute. ROOT=DIR in the environment keeps the root, or takes one that is there.
set -euo pipefail
out=${1:?usage: image.sh OUT}
packages=(
  bubblewrap busybox-static ca-certificates debian-archive-keyring e2fsprogs kmod linux-image-cloud-amd64 mmdebstrap
  openssh-server procps qemu-system-x86 qemu-utils systemd-sysv udev util-linux xz-utils zstd
)
mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
mkdir -p "$(dirname "$out")"
draft=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$draft"' EXIT
root=$(realpath -m "${ROOT:-$draft/root}")

if [ ! -e "$root/sbin/init" ]; then
  # The machine boots an initramfs of its own, so the kernel's package need not make one.
  INITRD=No mmdebstrap --quiet --variant=apt --include="$(IFS=, && echo "${packages[*]}")" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    trixie "$root" "deb ${mirror:-http://deb.debian.org/debian} trixie main"
fi
chmod 755 "$root"

mkdir -p "$root/data" "$root/var/lib/thaw" "$root/var/log/journal"
echo machine >"$root/etc/hostname"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
echo kvm-amd >"$root/etc/modules-load.d/machine.conf"
cat >"$root/etc/ssh/sshd_config.d/machine.conf" <<'END_OF_SSHD'
AuthorizedKeysFile /data/authorized_keys
SetEnv PATH=/data/bin:/usr/sbin:/usr/bin:/sbin:/bin
UseDNS no
UsePAM no
END_OF_SSHD
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -sf /usr/lib/systemd/system/ssh.service "$root/etc/systemd/system/multi-user.target.wants/ssh.service"
ln -sf /usr/lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
mkdir -p "$root/etc/systemd/system-generators"
ln -sf /dev/null "$root/etc/systemd/system-generators/systemd-ssh-generator"
# Half of a boot is work of others that nothing here needs: disks and network are set up before systemd starts, /dev by the kernel.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
  getty.target getty-static.service systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket \
  systemd-udevd-kernel.socket systemd-logind.service systemd-networkd.service systemd-pstore.service \
  dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
  sys-fs-fuse-connections.mount run-lock.mount proc-sys-fs-binfmt_misc.automount kmod-static-nodes.service; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

cp "$root"/boot/vmlinuz-* "$draft/vmlinuz"
init=$draft/init
mkdir -p "$init"/{bin,dev,modules,new}
cp "$root/bin/busybox" "$init/bin/"
for module in virtio_blk failover net_failover virtio_net; do
  file=$(find "$root/lib/modules" -name "$module.ko*")
  case "$file" in
  *.xz) xz --decompress --stdout "$file" >"$init/modules/$module.ko" ;;
  *) cp "$file" "$init/modules/$module.ko" ;;
  esac
done
cat >"$init/init" <<'END_OF_INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
for module in virtio_blk failover net_failover virtio_net; do $b insmod /modules/$module.ko; done
until [ -b /dev/vda ] && [ -b /dev/vdb ]; do $b sleep 0.1; done
$b mount -t ext4 /dev/vda /new && $b mount -t ext4 /dev/vdb /new/data && $b mount --bind /new/data/home /new/var/lib/thaw
until $b ip addr add 10.0.2.15/24 dev eth0 2>/dev/null; do $b sleep 0.1; done
$b ip link set eth0 up && $b ip link set lo up
$b mount --move /dev /new/dev && exec $b switch_root /new /sbin/init
END_OF_INIT
chmod 755 "$init/init"
(cd "$init" && find . | "$root/bin/busybox" cpio -o -H newc 2>/dev/null) >"$draft/initrd"
rm -rf "$init"
mke2fs -q -t ext4 -L root -d "$root" "$draft/root.img" 4G
[ -n "${ROOT:-}" ] || rm -rf "$root"
chmod 755 "$draft"
mv -T "$draft" "$out"
