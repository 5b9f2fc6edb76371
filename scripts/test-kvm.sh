#!/usr/bin/env bash
# thaw under KVM, under systemd and over reboots of its host: in an emulated Debian 13 whose CPU has virtualisation, made and booted here.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/node_modules/.bin:$PATH"
. scripts/reports.sh
: >"$reports/kvm.json"
vitest run --config test/kvm/vitest.config.ts --reporter=default --reporter=json --outputFile.json="$reports/kvm.json" "$@"
vitest_exit=$?
count_tests && [ "$vitest_exit" -eq 0 ]
