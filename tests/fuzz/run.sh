#!/usr/bin/env bash
# Builds the fuzz targets and runs each of them for a while, from the kept corpus and from what earlier runs found.
#
#   tests/fuzz/run.sh [SECONDS] [--only TARGET] [--fresh] [--coverage]
#
#   SECONDS          for each target (default 10); 0 only replays what is there
#   --only TARGET    one target, such as text or process_copy
#   --fresh          from the kept corpus alone, and by the same choices each time; what is found is thrown away
#   --coverage       then prints how much of its parsers each target reaches; from the kept corpus alone, as with --fresh
#
# One line per target; the last line is "N passed, N failed". What breaks an invariant is kept in build/fuzz/broken. GORGONE_JOBS sets
# how many targets run at once (default: as many as there are processors).
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
seconds=10 only="" coverage=false fresh=false
while [ $# -gt 0 ]; do
  case $1 in
    --only) only=${2:?run.sh: --only needs a target, such as text}; shift ;;
    --coverage) coverage=true fresh=true ;;
    --fresh) fresh=true ;;
    -h | --help) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *[!0-9]*) echo "run.sh: unknown argument '$1', expected SECONDS, --only TARGET, --fresh or --coverage" >&2; exit 2 ;;
    *) seconds=$1 ;;
  esac
  shift
done

"$root/packaging/dependencies.sh" --fuzz || { echo "0 passed, 1 failed"; exit 1; }
"$root/packaging/build.sh" fuzz || { echo "0 passed, 1 failed"; exit 1; }

build=$root/build/fuzz corpora=$root/tests/fuzz/corpus
logs=$build/logs
found=$build/found
mkdir -p "$logs" "$build/broken"
if $fresh; then
  found=$(mktemp -d)
  trap 'rm -rf "$found"' EXIT
fi
export UBSAN_OPTIONS=print_stacktrace=1 LC_ALL=C.UTF-8
# A unit may take 10 s and 2 GB: far more than any should need, far less than a hang or a bomb would take.
limits=(-timeout=10 -rss_limit_mb=2048 -max_len=8192)
! $fresh || limits+=(-seed=1)

targets=()
for folder in "$corpora"/*/; do
  name=$(basename "$folder")
  [ -z "$only" ] || [ "$only" = "$name" ] || continue
  targets+=("$name")
done
[ ${#targets[@]} -gt 0 ] || { echo "run.sh: there is no target '$only'; there are: $(ls "$corpora" | tr '\n' ' ')" >&2; exit 2; }

fuzz() {  # TARGET: its log is $logs/TARGET.log, its status the last line of that
  local name=$1 status=0 length=(-max_total_time="$seconds")
  mkdir -p "$found/$name"
  [ "$seconds" -gt 0 ] || length=(-runs=0)
  "$build/bin/fuzz_$name" "${limits[@]}" "${length[@]}" -print_final_stats=1 -artifact_prefix="$build/broken/$name-" \
    "$found/$name" "$corpora/$name" >"$logs/$name.log" 2>&1 </dev/null || status=$?
  echo "status $status" >>"$logs/$name.log"
}

passed=0 failed=0
report() {  # TARGET
  local name=$1 log=$logs/$1.log
  number() { grep -aoE "$1: +[0-9]+" "$log" | tail -n 1 | grep -oE '[0-9]+$'; }
  local runs rate new result=passed
  runs=$(number stat::number_of_executed_units) rate=$(number stat::average_exec_per_sec) new=$(number stat::new_units_added)
  if [ "$(tail -n 1 "$log")" = "status 0" ] && [ "${runs:-0}" -gt 0 ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1)) result=FAILED
  fi
  printf '%-16s %10s executions %8s /s %6s new units  %s\n' "$name" "${runs:-0}" "${rate:-0}" "${new:-0}" "$result"
  [ $result = passed ] || { grep -aE 'does not hold|ERROR|runtime error|Test unit written|SUMMARY' "$log" | sed 's/^/    /'; echo "    log: $log"; }
}

jobs_max=${GORGONE_JOBS:-$(nproc)}
for name in "${targets[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge "$jobs_max" ]; do wait -n; done
  fuzz "$name" &
done
wait
for name in "${targets[@]}"; do report "$name"; done

if $coverage; then "$root/tests/fuzz/coverage.sh" "$found" "${targets[@]}" || failed=$((failed + 1)); fi
[ "$(id -u)" -ne 0 ] || chown -R --reference="$root" "$build"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
