#!/usr/bin/env bash
# What this checkout does on another host: a fresh Debian 13 with QEMU 10, made here and entered in namespaces of its own. The quickstart, the
# conformance suite and a part of e2e run in it; then the tests that need both hosts, this one and that. Where none can be made the tests are
# skipped with the reason; REQUIRE_HOSTS=1 makes that a failure.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/node_modules/.bin:$PATH"
. scripts/reports.sh
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
  SECONDS=0
  inside npm run --silent quickstart || return
  echo "quickstart on a fresh Debian 13: $SECONDS s"
  inside bash scripts/bootstrap.sh --tests || return
  # Left out of conformance: what copies gigabytes, and the power loss, which tests this host's file system.
  inside env CI="${CI:-}" REQUIRE_QEMU=1 REQUIRE_JAIL=1 THAW_KEEP_HOME=1 THAW_TEST_HOME=/root/.local/state/thaw \
    vitest run --reporter=default --reporter=json --outputFile.json=/thaw/report.json \
    test/conformance/{runner,live,cut,keeper,crash}.test.ts test/e2e/{run,fork,frozen}.test.ts
  local vitest_exit=$?
  cp "$root/thaw/report.json" "$reports/debian13.json" || return
  THAW_HOSTS_ROOT=$root both_hosts "$@" && [ "$vitest_exit" -eq 0 ]
}
suites "$@"
suites_exit=$?
count_tests && [ "$suites_exit" -eq 0 ]
