#!/usr/bin/env bash
# Builds and measures the MCollective broker with clients of libzmq: point to point, fan-out, a flood, memory of an idle client, the time
# after a restart. Prints a table beside what libzmq's own ROUTER does in the same run; README.md says what it means.
#
#   tests/bench/mcollective.sh [--preset PRESET] [--quick] [--only FIGURE] [--rounds N] [--mc0d PROGRAM]
#
#   --preset PRESET   what to build and measure (default: release)
#   --quick           few clients and messages, as a test of the benchmark itself
#   --only FIGURE     p2p, fanout, flood or idle
#   --rounds N        of each figure, of which the median counts (default: 5)
#   --mc0d PROGRAM    a build of mc0d, to be measured in the same run
#
# GORGONE_BIN names the programs of a build that is there already, with bench_mcollective beside them in ../bench; then nothing is built.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
preset=release
passed=()
while [ $# -gt 0 ]; do
  case $1 in
    --preset) preset=${2:?mcollective.sh: --preset needs a name, such as release}; shift ;;
    --quick) passed+=(--quick) ;;
    --only) passed+=(--only "${2:?mcollective.sh: --only needs a figure, such as p2p}"); shift ;;
    --rounds) passed+=(--rounds "${2:?mcollective.sh: --rounds needs a number}"); shift ;;
    --mc0d) passed+=(--mc0d "${2:?mcollective.sh: --mc0d needs a program}"); shift ;;
    -h | --help) sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "mcollective.sh: unknown argument '$1', expected --preset PRESET, --quick, --only FIGURE, --rounds N or --mc0d PROGRAM" >&2; exit 2 ;;
  esac
  shift
done
cd "$root"
if [ -z "${GORGONE_BIN:-}" ]; then
  packaging/build.sh "$preset" -DGORGONE_TESTS=OFF
  cmake --build "build/$preset" --target bench_mcollective -- ${GORGONE_JOBS:+-j"$GORGONE_JOBS"} >/dev/null
fi
export GORGONE_BIN=${GORGONE_BIN:-$root/build/$preset/bin} PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 tests/bench/mcollective/measure.py "${passed[@]}"
