#!/usr/bin/env bash
# enter.sh ROOT COMMAND…: runs COMMAND as root in the Debian root at ROOT, in mount and pid namespaces of its own. The checkout is at /thaw: the one
# that ROOT has, else this one, read and write. Everything else of this host stays outside but the network, with the certificates that the host
# trusts, and /dev. A plain chroot would not do: the jail and mmdebstrap change the propagation of /, which only works where / is a mount.
set -euo pipefail
root=$(realpath "${1:?usage: enter.sh ROOT COMMAND…}") && shift
checkout=$(realpath "$(dirname "$0")/../..")
export ROOT="$root" CHECKOUT="$checkout"
exec unshare --mount --pid --fork --kill-child --propagation private -- bash -euc '
  mount --bind "$ROOT" "$ROOT"
  cd "$ROOT"
  mkdir -p thaw proc sys dev run tmp old
  [ -e thaw/package.json ] || mount --bind "$CHECKOUT" thaw
  mount -t proc proc proc
  mount --rbind /sys sys
  mount --rbind /dev dev
  mount -t tmpfs -o mode=755 tmpfs run
  cp --dereference /etc/resolv.conf etc/resolv.conf 2>/dev/null || true
  certificates=etc/ssl/certs/ca-certificates.crt
  if [ -e "/$certificates" ]; then mkdir -p etc/ssl/certs; cp --dereference "/$certificates" "$certificates"; fi
  pivot_root . old
  umount -l old && rmdir old
  cd /thaw
  exec env -i HOME=/root TERM="${TERM:-dumb}" LANG=C.UTF-8 NODE_EXTRA_CA_CERTS="/$certificates" \
    PATH=/thaw/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
' enter "$@"
