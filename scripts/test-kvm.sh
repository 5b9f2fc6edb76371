#!/usr/bin/env bash
# thaw under KVM, under systemd and over reboots of its host: in an emulated Debian 13 whose CPU has virtualisation, made and booted here.
# THAW_KVM_SHORT=1 leaves out what takes longest. Where no such machine can be made the tests are skipped with the reason; REQUIRE_KVM=1 makes
# that a failure.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/node_modules/.bin:$PATH"
. scripts/reports.sh
: >"$reports/kvm.json"

missing=""
for tool in mmdebstrap qemu-system-x86_64 mke2fs ssh; do
  command -v "$tool" >/dev/null || missing="$tool is not installed"
done
[ "$(id -u)" -eq 0 ] || missing="a root file system is made as root"
# The machine has 5 GiB, and uses about 3.
available=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)
[ "${available:-0}" -ge 4000000 ] || missing="its 5 GiB are too much for the $((${available:-0} / 1024)) MiB here"
if [ -n "$missing" ]; then
  echo "no emulated machine with KVM here: $missing" >&2
  export THAW_KVM_MISSING="$missing"
fi
vitest run --config test/kvm/vitest.config.ts --reporter=default --reporter=json --outputFile.json="$reports/kvm.json" "$@"
vitest_exit=$?
[ -z "$missing" ] || [ "${REQUIRE_KVM:-}" != 1 ] || vitest_exit=1
count_tests && [ "$vitest_exit" -eq 0 ]
