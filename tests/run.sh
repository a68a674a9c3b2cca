#!/usr/bin/env bash
# Installs what is missing, builds everything and runs all tests.
#
#   tests/run.sh [--preset PRESET] [FILTER]
#
#   --preset PRESET   dev (the default), release, asan or tsan; see CMakePresets.json
#   FILTER            runs only the suites whose name holds this text, such as test_core or test_push
#
# One line per suite; the last line is "N passed, N failed", counted in test cases. Logs of all suites are kept in
# build/PRESET/test-logs. Ends with status 1 where a test failed or none ran.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
preset=dev filter=""
while [ $# -gt 0 ]; do
  case $1 in
    --preset) preset=${2:?run.sh: --preset needs a name, such as dev}; shift ;;
    -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "run.sh: unknown argument '$1', expected --preset PRESET or a filter" >&2; exit 2 ;;
    *) filter=$1 ;;
  esac
  shift
done

"$root/packaging/dependencies.sh" --tests || exit 1
# Two runs in one build directory would overwrite each other's programs and logs; what is started must not hold the lock.
mkdir -p "$root/build/$preset" && exec 9>"$root/build/$preset/tests.lock" || exit 1
flock --nonblock 9 || echo "waiting for another run in build/$preset, half an hour at most"
flock --timeout 1800 9 || { echo "run.sh: build/$preset is still in use by another run" >&2; echo "0 passed, 1 failed"; exit 1; }
"$root/packaging/build.sh" "$preset" -DGORGONE_TESTS=ON -DGORGONE_WERROR=ON 9>&- || { echo "0 passed, 1 failed"; exit 1; }

export GORGONE_BIN=${GORGONE_BIN:-$root/build/$preset/bin} PYTHONDONTWRITEBYTECODE=1
logs=$root/build/$preset/test-logs
mkdir -p "$logs"
[ -n "$filter" ] || rm -f "$logs"/*.log
passed=0 failed=0
last_number() { grep -aoE "$1" "$2" | tail -n 1 | grep -oE '[0-9]+' | head -n 1; }

# Each counter reads a suite's log and sets ran, bad and skipped.
count_catch() {
  ran=$(last_number 'in [0-9]+ test cases?' "$1") bad=0
  if [ -z "$ran" ]; then
    ran=$(last_number '^test cases: +[0-9]+' "$1")
    bad=$(grep -aE '^test cases:' "$1" | tail -n 1 | grep -oE '[0-9]+ failed' | head -n 1 | grep -oE '[0-9]+')
  fi
}
count_unittest() {
  ran=$(last_number '^Ran [0-9]+ tests?' "$1")
  local verdict
  verdict=$(grep -aE '^(OK|FAILED)( \(|$)' "$1" | tail -n 1)
  number_of() { grep -oE "$1=[0-9]+" <<<"$verdict" | grep -oE '[0-9]+' || echo 0; }
  bad=$(($(number_of failures) + $(number_of errors) + $(number_of 'unexpected successes')))
  skipped=$(number_of skipped)
}
count_script() { ran=1 bad=$(($2 != 0)); }

run_suite() {  # COUNTER NAME COMMAND...
  local counter=$1 name=$2 log=$logs/$2.log status=0 started=$EPOCHREALTIME ran bad skipped=0 good line
  shift 2
  timeout --kill-after=10 600 "$@" >"$log" 2>&1 </dev/null 9>&- || status=$?
  "$counter" "$log" "$status"
  ran=${ran:-0} bad=${bad:-0} good=$((ran - bad - skipped))
  [ "$good" -ge 0 ] || good=0
  # A crash, a time limit or an empty suite is a failure of its own.
  [ "$ran" -gt 0 ] || echo "run.sh: no tests were counted in this log; the program ended with status $status" >>"$log"
  if [ "$bad" -eq 0 ] && { [ "$status" -ne 0 ] || [ $((good + skipped)) -eq 0 ]; }; then bad=1; fi
  passed=$((passed + good)) failed=$((failed + bad))
  line="$good passed, $bad failed"
  [ "$skipped" -eq 0 ] || line+=", $skipped SKIPPED"
  printf '%-28s %6.1f s  %s\n' "$name" "$(bc_minus "$EPOCHREALTIME" "$started")" "$line"
  [ "$skipped" -eq 0 ] || grep -aoE "skipped ['\"].*" "$log" | sort -u | sed 's/^/    /'
  if [ "$bad" -gt 0 ]; then
    [ "$status" -lt 124 ] || echo "    ended with status $status (124: after its time limit of 600 s; over 128: by a signal)"
    grep -aE '^(FAIL|ERROR|kept|run\.sh):? ' "$log" | sort -u | sed 's/^/    /'
    echo "    log: $log"
  fi
}
# Seconds between two values of EPOCHREALTIME, whatever the locale's decimal point is.
bc_minus() { local a=${1/[.,]/} b=${2/[.,]/}; printf '%d.%06d' $(((a - b) / 1000000)) $(((a - b) % 1000000)); }

wanted() { [[ $1 == *"$filter"* ]]; }
export LC_ALL=C.UTF-8
for program in "$root/build/$preset"/bin/test_*; do
  name=$(basename "$program")
  [ -x "$program" ] && wanted "$name" && run_suite count_catch "$name" "$program"
done
for file in "$root"/tests/{conformance,system,issues}/test_*.py; do
  name=$(basename "$file" .py)
  [ -f "$file" ] && wanted "$name" && run_suite count_unittest "$name" /usr/bin/python3 "$file" -v
done
for file in "$root"/tests/issues/*.sh; do
  name=$(basename "$file" .sh)
  [ -f "$file" ] && wanted "$name" && run_suite count_script "$name" bash "$file"
done
[ "$(id -u)" -ne 0 ] || chown -R --reference="$root" "$logs"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
