#!/usr/bin/env bash
# Builds and measures: start, stop, memory, latency, throughput, strangers. Prints a table; README.md says what it means.
#
#   tests/bench/run.sh [--preset PRESET] [--quick] [--only FIGURE]
#
#   --preset PRESET   what to build and measure (default: release)
#   --quick           one short round of each, as a test of the benchmark itself
#   --only FIGURE     start, idle, command, pings, commands, strangers, noise or log
#
# GORGONE_BIN names the programs of a build that is there already; then nothing but the load generator is built.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
preset=release
passed=()
while [ $# -gt 0 ]; do
  case $1 in
    --preset) preset=${2:?run.sh: --preset needs a name, such as release}; shift ;;
    --quick) passed+=(--quick) ;;
    --only) passed+=(--only "${2:?run.sh: --only needs a figure, such as pings}"); shift ;;
    -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "run.sh: unknown argument '$1', expected --preset PRESET, --quick or --only FIGURE" >&2; exit 2 ;;
  esac
  shift
done
cd "$root"
[ -n "${GORGONE_BIN:-}" ] || packaging/build.sh "$preset" -DGORGONE_TESTS=OFF
export GORGONE_BIN=${GORGONE_BIN:-$root/build/$preset/bin} PYTHONDONTWRITEBYTECODE=1
build=$(dirname "$(realpath "$GORGONE_BIN")")
cmake --build "$build" --target bench_load -- ${GORGONE_JOBS:+-j"$GORGONE_JOBS"} >/dev/null
exec /usr/bin/python3 tests/bench/bench.py "${passed[@]}"
