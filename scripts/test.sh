#!/usr/bin/env bash
# Every test that needs no other host than this one, the Rust crates' too. The last line says how many passed, failed and were skipped.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/node_modules/.bin:$PATH"
. scripts/rust.sh
. scripts/reports.sh
: >"$reports/vitest.json"

cargo_exit=0
for crate in guest runners/native; do
  (cd "$crate" && cargo test --release --quiet 2>&1) | tee -a "$reports/cargo.txt"
  [ "${PIPESTATUS[0]}" -eq 0 ] || cargo_exit=1
done
vitest run --reporter=default --reporter=json --outputFile.json="$reports/vitest.json" "$@"
vitest_exit=$?

# Of all tests the conformance suite by gVisor too, and a part of e2e.
if [ $# -gt 0 ]; then
  :
elif [ "${REQUIRE_GVISOR:-}" = 1 ] || { [ "$(id -u)" -eq 0 ] && command -v runsc && command -v mkfs.erofs; } >/dev/null; then
  : >"$reports/gvisor.json"
  THAW_RUNNER=gvisor vitest run --reporter=default --reporter=json --outputFile.json="$reports/gvisor.json" \
    test/conformance/ test/e2e/run.test.ts || vitest_exit=1
else
  echo "no tests of runner gvisor: they need root, runsc and mkfs.erofs" >&2
fi
count_tests
count_exit=$?
[ "$cargo_exit" -eq 0 ] && [ "$vitest_exit" -eq 0 ] && [ "$count_exit" -eq 0 ]
