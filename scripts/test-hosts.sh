#!/usr/bin/env bash
# What this checkout does on another host: a fresh Debian 13 with QEMU 10, made here and entered in namespaces of its own. The quickstart, the
# conformance suite and a part of e2e run in it; then the tests that need both hosts, this one and that. Where none can be made the tests are
# skipped with the reason; REQUIRE_HOSTS=1 makes that a failure. With --quickstart [12|13]… only the quickstart is run, on a fresh Debian of each, 12 and
# 13 when none is named, and measured.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/node_modules/.bin:$PATH"
. scripts/reports.sh

QUICKSTART_TARGET_S=90

# quickstart ROOT RELEASE: says how long it took, and whether that is what it is to reach. No run fails on a clock.
quickstart() {
  local load verdict=ok before=$SECONDS took
  load=$(cut -d' ' -f1 /proc/loadavg)
  bash test/hosts/enter.sh "$1" npm run --silent quickstart || return
  took=$((SECONDS - before))
  [ "$took" -le "$QUICKSTART_TARGET_S" ] || verdict=short
  echo "quickstart on a fresh Debian $2: $took s of $QUICKSTART_TARGET_S s: $verdict ($(nproc) processors; load before $load, after $(cut -d' ' -f1 /proc/loadavg))"
}

if [ "${1:-}" = --quickstart ]; then
  shift
  [ $# -gt 0 ] || set -- 12 13
  for release in "$@"; do
    root=$(mktemp -d "/tmp/thaw-debian$release-XXXXXX")
    trap 'rm -rf --one-file-system "$root"' EXIT
    chmod 755 "$root"
    bash test/hosts/make-root.sh "$root" "$release" && quickstart "$root" "$release" || exit
    rm -rf --one-file-system "$root"
  done
  exit
fi

: >"$reports/hosts.json"
both_hosts() {
  vitest run --config test/hosts/vitest.config.ts --reporter=default --reporter=json \
    --outputFile.json="$reports/hosts.json" "$@"
}

missing=""
command -v mmdebstrap >/dev/null || missing="mmdebstrap is not installed"
[ "$(id -u)" -eq 0 ] || missing="a root file system is made and entered as root"
unshare --mount --pid --fork true 2>/dev/null || missing="${missing:-this host allows no namespaces}"
if [ -n "$missing" ]; then
  echo "no Debian 13 here: $missing" >&2
  if [ "${REQUIRE_HOSTS:-}" = 1 ]; then count_tests; exit 1; fi
  THAW_HOSTS_MISSING="$missing" both_hosts "$@"
  vitest_exit=$?
  count_tests && [ "$vitest_exit" -eq 0 ]
  exit
fi

: >"$reports/debian13.json"
root=$(mktemp -d /tmp/thaw-debian13-XXXXXX)
chmod 755 "$root" # it becomes the / of users who are not root
trap 'rm -rf --one-file-system "$root"' EXIT
inside() { bash test/hosts/enter.sh "$root" "$@"; }

suites() {
  bash test/hosts/make-root.sh "$root" || return
  quickstart "$root" 13 || return
  inside bash scripts/bootstrap.sh --tests || return
  # Left out of conformance: what copies gigabytes, and the power loss, which tests this host's file system.
  inside env REQUIRE_QEMU=1 REQUIRE_JAIL=1 THAW_KEEP_HOME=1 THAW_TEST_HOME=/root/.local/state/thaw \
    vitest run --reporter=default --reporter=json --outputFile.json=/thaw/report.json \
    test/conformance/{runner,agent,live,keeper,crash}.test.ts test/conformance/qemu/{jail,live,cut}.test.ts test/e2e/{run,fork,frozen}.test.ts
  local vitest_exit=$?
  cp "$root/thaw/report.json" "$reports/debian13.json" || return
  THAW_HOSTS_ROOT=$root both_hosts "$@" && [ "$vitest_exit" -eq 0 ]
}
suites "$@"
suites_exit=$?
count_tests && [ "$suites_exit" -eq 0 ]
