# Sourced by the scripts that run tests. $reports: the folder that their reports go to. Who runs several of them gives it (THAW_TEST_REPORTS) and
# adds up; else `count_tests` does, with the closing line.
reports=${THAW_TEST_REPORTS:-$(mktemp -d)}
count_tests() {
  [ -z "${THAW_TEST_REPORTS:-}" ] || return 0
  local exit_code=0
  node scripts/count-tests.ts "$reports" || exit_code=$?
  rm -rf "$reports"
  return "$exit_code"
}
