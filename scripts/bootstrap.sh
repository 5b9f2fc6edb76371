#!/usr/bin/env bash
# bootstrap.sh [--tests|--bench]: installs what this checkout needs, and only what is missing: npm packages, Debian packages, a Rust toolchain, the
# guest agent, the host's helpers. With --tests also what only its tests need; with --bench also the peer that the bench measures against.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/rust.sh
. scripts/by-hand.sh

say() { printf ' \033[2m·\033[0m %s\n' "$*" >&2; }
[ -t 2 ] || say() { printf ' . %s\n' "$*" >&2; }

apt_packages=(debian-archive-keyring e2fsprogs mmdebstrap qemu-system-x86 qemu-utils util-linux xz-utils zstd)
# Templates are built with the ranges of /etc/subuid by who is not root.
[ "$(id -u)" -eq 0 ] || apt_packages+=(uidmap)
test_packages=(ca-certificates docker-registry git openssh-client openssh-server tmux)
rust_packages=(cargo-web rustc-web gcc libc6-dev)
case "${1:-}" in
  --tests) apt_packages+=("${test_packages[@]}") ;;
  --bench) apt_packages+=("${test_packages[@]}" podman runc) ;;
esac

missing=()
if like_debian; then
  installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' | sed -n 's/ installed$//p')
elif tools_are_there && rust_is_fine; then
  apt_packages=()
else
  by_hand "${apt_packages[@]}" >&2
  exit 1
fi
for package in "${apt_packages[@]}"; do grep -qx "$package" <<<"$installed" || missing+=("$package"); done
rust_is_fine || missing+=("${rust_packages[@]}")
if [ ${#missing[@]} -gt 0 ]; then
  [ "$(id -u)" -ne 0 ] || apt-get update -qq
  # Debian 12 has the newer Rust of its browsers beside its own, others have none.
  if ! apt-cache show cargo-web >/dev/null 2>&1; then
    missing=("${missing[@]/#cargo-web/cargo}") && missing=("${missing[@]/#rustc-web/rustc}")
  fi
  if [ "$(id -u)" -ne 0 ]; then
    echo "missing packages; run: sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  say "apt-get install ${missing[*]}"
  # Tests start an sshd and a registry of their own: the packages' must not begin to listen, now or with the next boot.
  deny=/usr/sbin/policy-rc.d
  if [[ " ${missing[*]} " =~ " "(openssh-server|docker-registry)" " && ! -e $deny ]]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$deny" && chmod 755 "$deny"
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  if [[ " ${missing[*]} " == *" openssh-server "* ]] && command -v systemctl >/dev/null; then
    systemctl disable --quiet ssh.service ssh.socket 2>/dev/null || true
  fi
  if [[ " ${missing[*]} " == *" docker-registry "* ]] && command -v systemctl >/dev/null; then
    systemctl disable --quiet docker-registry.service 2>/dev/null || true
  fi
  rust_is_fine || { echo "cargo is older than $needed_rust: install a newer one for yourself (https://rustup.rs), it is found in ~/.cargo/bin" >&2; exit 1; }
fi

stamp=node_modules/.thaw-lock
if ! cmp -s package-lock.json "$stamp" || [ ! -x node_modules/.bin/node ]; then
  say "npm ci"
  npm ci --no-audit --no-fund --loglevel=error >&2
  cp package-lock.json "$stamp"
fi

say "guest agent"
(cd guest && cargo build --release --quiet)
say "host helpers"
(cd runners/native && cargo build --release --quiet)
say "bundle"
node_modules/.bin/node scripts/build.mjs
