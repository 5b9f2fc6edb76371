#!/usr/bin/env bash
# enter.sh ROOT COMMAND…: runs COMMAND as root in the Debian root at ROOT, in mount and pid namespaces of its own. The checkout is at /thaw, read and
# write; everything else of this host stays outside but the network and /dev. A plain chroot would not do: the jail and mmdebstrap change the
# propagation of /, which only works where / is a mount.
set -euo pipefail
root=$(realpath "${1:?usage: enter.sh ROOT COMMAND…}") && shift
checkout=$(realpath "$(dirname "$0")/../..")
export ROOT="$root" CHECKOUT="$checkout"
exec unshare --mount --pid --fork --kill-child --propagation private -- bash -euc '
  mount --bind "$ROOT" "$ROOT"
  cd "$ROOT"
  mkdir -p thaw proc sys dev run tmp old
  mount --bind "$CHECKOUT" thaw
  mount -t proc proc proc
  mount --rbind /sys sys
  mount --rbind /dev dev
  mount -t tmpfs -o mode=755 tmpfs run
  cp --dereference /etc/resolv.conf etc/resolv.conf 2>/dev/null || true
  pivot_root . old
  umount -l old && rmdir old
  cd /thaw
  exec env -i HOME=/root TERM="${TERM:-dumb}" LANG=C.UTF-8 PATH=/thaw/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
' enter "$@"
