#!/usr/bin/env bash
# Everything that needs no machine: format, lint, types, unit tests, and the same for the agent.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/node_modules/.bin:$PATH"
biome ci --error-on-warnings
tsc -p .
(cd guest && cargo fmt --check && cargo clippy --release --quiet --all-targets -- -D warnings)
vitest run --project unit --reporter=dot
