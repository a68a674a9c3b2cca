#!/usr/bin/env bash
# Builds and measures a central with thousands of simulated nodes: memory and CPU of each, how fast all are connected, what dead nodes
# cost the living. Prints a table; README.md says what it means.
#
#   tests/bench/fleet.sh [--preset PRESET] [--quick] [OPTION]...
#
#   --preset PRESET   what to build and measure (default: release)
#   --pull            nodes that dial the central (type pull) in place of those that it dials
#   --quick           20 nodes and short waits, as a test of the benchmark itself
#   OPTION            --counts 100,1000,5000,10000   how many nodes, one after the other (default: the first three)
#                     --idle SECONDS                 how long idle nodes are watched (default: 125)
#                     --peers                        restart all nodes at once too
#                     --bits 4096, --core OPTION=NUMBER   with --pull: the size of all keys, an option of gorgonecore
#
# Without --pull it needs root or CAP_NET_RAW, for the nodes listen on all loopback addresses and on nothing else. GORGONE_BIN names the programs of a build that
# is there already, with bench_fleet beside them in ../bench; then nothing is built.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
preset=release
passed=()
script=measure.py
while [ $# -gt 0 ]; do
  case $1 in
    --preset) preset=${2:?fleet.sh: --preset needs a name, such as release}; shift ;;
    --pull) script=pull.py ;;
    --quick) passed+=(--counts 20 --idle 3 --settle 1) ;;
    -h | --help) sed -n '2,17s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) passed+=("$1") ;;
  esac
  shift
done
cd "$root"
if [ -z "${GORGONE_BIN:-}" ]; then
  packaging/build.sh "$preset" -DGORGONE_TESTS=OFF
  cmake --build "build/$preset" --target bench_fleet -- ${GORGONE_JOBS:+-j"$GORGONE_JOBS"} >/dev/null
fi
export GORGONE_BIN=${GORGONE_BIN:-$root/build/$preset/bin} PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 tests/bench/fleet/$script "${passed[@]}"
