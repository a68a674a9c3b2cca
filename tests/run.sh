#!/usr/bin/env bash
# Installs what is missing, builds everything and runs all tests.
#
#   tests/run.sh [--preset PRESET] [--jobs N] [FILTER]...
#
#   --preset PRESET   dev (the default), release, asan or tsan; see CMakePresets.json
#   --jobs N          suites at once (default: three more than there are processors, for most of them wait)
#   FILTER            runs only the suites whose name fits one of these expressions, such as test_push or test_content$
#
# One line per suite as it ends; the last line is "N passed, N failed", counted in test cases. Logs of all suites are kept in
# build/PRESET/test-logs. Ends with status 1 where a test failed or none ran. A suite with a line "# tests/run.sh: first, …" runs before
# the others, one with "# tests/run.sh: alone, …" when they have ended. Of the presets asan and tsan a report of any program fails its
# suite (tests/sanitizers.sh).
# GORGONE_LONG=1 in the environment adds the cases that take minutes; without it they are counted as skipped.
# What failed beside others runs once more when it has the machine to itself, of a Python suite the cases that failed; what is said then
# counts, and the line of the first run stays above it. A sanitizer's report and a crash of a daemon are not run again.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
preset=dev filters=() jobs=$(($(nproc) + 3))
while [ $# -gt 0 ]; do
  case $1 in
    --preset) preset=${2:?run.sh: --preset needs a name, such as dev}; shift ;;
    --jobs) jobs=${2:?run.sh: --jobs needs a number, such as 3}; shift ;;
    -h | --help) sed -n '2,17s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "run.sh: unknown argument '$1', expected --preset PRESET, --jobs N or a filter" >&2; exit 2 ;;
    *) filters+=("$1") ;;
  esac
  shift
done

[[ $jobs =~ ^[1-9][0-9]*$ ]] || { echo "run.sh: --jobs $jobs, expected a number from 1" >&2; exit 2; }

"$root/packaging/dependencies.sh" --tests || exit 1
# Two runs in one build directory would overwrite each other's programs and logs; what is started must not hold the lock.
mkdir -p "$root/build/$preset" && exec 9>"$root/build/$preset/tests.lock" || exit 1
flock --nonblock 9 || echo "waiting for another run in build/$preset, half an hour at most"
flock --timeout 1800 9 || { echo "run.sh: build/$preset is still in use by another run" >&2; echo "0 passed, 1 failed"; exit 1; }
"$root/packaging/build.sh" "$preset" -DGORGONE_TESTS=ON -DGORGONE_WERROR=ON 9>&- || { echo "0 passed, 1 failed"; exit 1; }

export GORGONE_BIN=${GORGONE_BIN:-$root/build/$preset/bin} PYTHONDONTWRITEBYTECODE=1
logs=$root/build/$preset/test-logs
mkdir -p "$logs"
[ ${#filters[@]} -gt 0 ] || rm -f "$logs"/*
# shellcheck source=tests/sanitizers.sh
source "$root/tests/sanitizers.sh"
results=$(mktemp -d)
mkdir "$results/keys"
export GORGONE_TEST_KEYS=$results/keys  # tests/system/fleet.py
trap 'rm -rf "$results"' EXIT
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

run_suite() {  # COUNTER NAME COMMAND...: prints its line and leaves "PASSED FAILED" in $results/NAME
  local counter=$1 name=$2 log=$logs/$2.log status=0 started=$EPOCHREALTIME ran bad skipped=0 good line reports
  shift 2
  rm -f "$logs/$name.sanitizer".*
  sanitizer_reports_to "$logs/$name.sanitizer"
  timeout --kill-after=10 "$suite_limit_s" "${sanitizer_wrapper[@]}" "$@" >"$log" 2>&1 </dev/null 9>&- || status=$?
  "$counter" "$log" "$status"
  ran=${ran:-0} bad=${bad:-0} good=$((ran - bad - skipped))
  [ "$good" -ge 0 ] || good=0
  # A crash, a time limit, an empty suite or a sanitizer's report is a failure of its own.
  [ "$ran" -gt 0 ] || echo "run.sh: no tests were counted in this log; the program ended with status $status" >>"$log"
  reports=$(find "$logs" -name "$name.sanitizer.*")
  # Of its daemons: a test tells what they have said.
  [ -n "$reports" ] || reports=$(grep -aoE -m 1 '(Address|Leak|Thread)Sanitizer:|runtime error:|ended( by itself,)? with status -[0-9]+' "$log")
  if [ -n "$reports" ]; then
    status=1
    echo "run.sh: a sanitizer's report or a crash, not run again: ${reports//$'\n'/ }" >>"$log"
  fi
  if [ "$bad" -eq 0 ] && { [ "$status" -ne 0 ] || [ $((good + skipped)) -eq 0 ]; }; then bad=1; fi
  echo "$good $bad ${#reports} $skipped" >"$results/$name"
  line="$good passed, $bad failed"
  [ "$skipped" -eq 0 ] || line+=", $skipped SKIPPED"
  {
    printf '%-28s %6.1f s  %s\n' "$name" "$(bc_minus "$EPOCHREALTIME" "$started")" "$line"
    [ "$skipped" -eq 0 ] || grep -aoE "skipped ['\"].*" "$log" | sort -u | sed 's/^/    /'
    if [ "$bad" -gt 0 ]; then
      [ "$status" -lt 124 ] || echo "    ended with status $status (124: after its time limit of $suite_limit_s s; over 128: by a signal)"
      grep -aE '^(FAIL|ERROR|kept|run\.sh):? ' "$log" | sort -u | sed 's/^/    /'
      echo "    log: $log"
    fi
  } >"$results/$name.text"
  cat "$results/$name.text"  # in one piece, whoever else prints
}
# Seconds between two values of EPOCHREALTIME, whatever the locale's decimal point is.
bc_minus() { local a=${1/[.,]/} b=${2/[.,]/}; printf '%d.%06d' $(((a - b) / 1000000)) $(((a - b) % 1000000)); }

# Starts a suite as soon as there is room, or keeps it for the end.
names=() alone=() twins=0
declare -A entry_of
is_asked_for() {  # NAME
  local filter
  [ ${#filters[@]} -gt 0 ] || return 0
  for filter in "${filters[@]}"; do [[ ! $1 =~ $filter ]] || return 0; done
  return 1
}
suite() {  # COUNTER NAME FILE COMMAND...
  local counter=$1 name=$2 file=$3
  shift 3
  is_asked_for "$name" || return 0
  [ -z "${entry_of[$name]:-}" ] || { echo "run.sh: two suites are called $name; rename one" >&2; twins=$((twins + 1)); return 0; }
  names+=("$name")
  entry_of[$name]="$counter $name $file"
  if [[ $file != *.* ]] || ! grep -q '^# tests/run.sh: alone' "$file"; then
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
    run_suite "$counter" "$name" "$@" &
  else
    alone+=("$counter $name $file")
  fi
}
export LC_ALL=C.UTF-8
# What takes longest first: what says so of itself, the unit tests, then the longest files.
python_suite() { suite count_unittest "$(basename "$1" .py)" "$1" /usr/bin/python3 "$1" -v; }
mapfile -t files < <(ls -S "$root"/tests/{conformance,system,issues}/test_*.py 2>/dev/null)
mapfile -t first < <(grep -l '^# tests/run.sh: first' ${files[@]+"${files[@]}"} </dev/null)
for file in ${first[@]+"${first[@]}"}; do python_suite "$file"; done
mapfile -t programs < <(ls -S "$root/build/$preset"/bin/test_* 2>/dev/null)
for program in ${programs[@]+"${programs[@]}"}; do
  [ -x "$program" ] && suite count_catch "$(basename "$program")" "$program" "$program"
done
for file in ${files[@]+"${files[@]}"}; do
  [[ " ${first[*]} " == *" $file "* ]] || python_suite "$file"
done
for file in "$root"/tests/issues/*.sh; do
  [ -f "$file" ] && suite count_script "$(basename "$file" .sh)" "$file" bash "$file"
done
wait
run_alone() {  # COUNTER NAME FILE [CASE]...
  case $3 in
    *.py) run_suite "$1" "$2" /usr/bin/python3 "$3" -v "${@:4}" ;;
    *.sh) run_suite "$1" "$2" bash "$3" ;;
    *) run_suite "$1" "$2" "$3" ;;
  esac
}
# The cases of a Python suite that failed, as its log names them; none where something failed that is no case, such as a setUpClass.
failed_cases() {  # LOG
  grep -aE '^(FAIL|ERROR): ' "$1" | sed -E 's/^[A-Z]+: test_[a-zA-Z0-9_]+ \(__main__\.([a-zA-Z0-9_.]+)\).*/\1/' | sort -u >"$results/cases"
  grep -q ':' "$results/cases" || cat "$results/cases"
}
for name in ${names[@]+"${names[@]}"}; do
  [ -f "$results/$name" ] || continue  # it runs alone
  read -r good bad reported skipped <"$results/$name"
  if [ "$bad" -eq 0 ] || [ "$reported" -ne 0 ] || [ ${#names[@]} -eq 1 ]; then continue; fi
  echo "again, with the machine to itself (its first log: $logs/$name.first.log):"
  mv "$logs/$name.log" "$logs/$name.first.log"
  read -ra entry <<<"${entry_of[$name]}"
  mapfile -t cases < <(failed_cases "$logs/$name.first.log")
  run_alone "${entry[@]}" ${cases[@]+"${cases[@]}"}
  [ ${#cases[@]} -gt 0 ] || continue
  read -r again bad_again reported _ <"$results/$name"
  echo "$((good + bad - ${#cases[@]} + again)) $bad_again $reported $skipped" >"$results/$name"
done
for text in ${alone[@]+"${alone[@]}"}; do
  read -ra entry <<<"$text"
  run_alone "${entry[@]}"
done
[ "$(id -u)" -ne 0 ] || chown -R --reference="$root" "$logs"

passed=0 failed=$twins skipped=0
for name in ${names[@]+"${names[@]}"}; do
  read -r good bad _ left <"$results/$name" || { echo "run.sh: $name left no result" >&2; good=0 bad=1 left=0; }
  passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + left))
done
[ "$skipped" -eq 0 ] || echo "$skipped SKIPPED, the reasons are above"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
