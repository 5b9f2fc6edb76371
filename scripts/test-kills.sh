#!/usr/bin/env bash
# test-kills.sh [COUNT]: kills the daemon COUNT times (20) in the middle of each kind of request, at random moments. Needs a built dist/.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/node_modules/.bin:$PATH"
THAW_KILLS=${1:-20} vitest run --project e2e test/e2e/killed.test.ts --reporter=verbose
