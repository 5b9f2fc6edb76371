#!/usr/bin/env bash
# The first five minutes: is this host ready, build the base template, run something real in a thawed microVM.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/node_modules/.bin:$PATH"
thaw() { node dist/thaw.mjs "$@"; }

thaw doctor
echo
echo '$ npx thaw run --verbose -- sh -c "uname -sr; git --version"'
thaw run --verbose -- sh -c 'uname -sr; git --version'
echo
echo "This host runs $(uname -r): that was another kernel, in a machine that no longer exists."
echo 'Next: npx thaw run --template node -- node -p process.version'
