#!/usr/bin/env bash
# check.sh [--no-tests]: everything that needs no machine: format, lint, types, unit tests, and the same for the Rust crates.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/node_modules/.bin:$PATH"
. scripts/rust.sh
biome ci --error-on-warnings
tsc -p .
tsc -p web
for crate in guest runners/native; do
  (cd "$crate" && cargo fmt --check && cargo clippy --release --quiet --all-targets -- -D warnings)
done
[ "${1:-}" = --no-tests ] || vitest run --project unit --reporter=dot
