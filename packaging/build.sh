#!/usr/bin/env bash
# Configures and builds quietly; what the compiler said is shown where it failed.
#
#   packaging/build.sh PRESET [CMAKE-OPTION]...      into build/PRESET
#
# GORGONE_JOBS sets the number of compilers at once (default: as many as there are processors).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
preset=${1:?usage: packaging/build.sh PRESET [CMAKE-OPTION]...}
shift
build=$root/build/$preset
if ! mkdir -p "$build" 2>/dev/null || [ ! -w "$build" ]; then
  echo "build.sh: $build cannot be written by $(id -un): it belongs to $(stat -c %U "$root/build"); remove it or run as that user" >&2
  exit 1
fi

# Under sudo the tree stays the user's own: what root built is handed to the owner of the sources.
hand_over() {
  [ "$(id -u)" -ne 0 ] || chown -R --reference="$root" "$root/build" 2>/dev/null || true
}
trap hand_over EXIT

log=$build/build.log
started=$SECONDS
if ! { cmake -S "$root" --preset "$preset" "$@" && cmake --build "$build" -- ${GORGONE_JOBS:+-j"$GORGONE_JOBS"}; } >"$log" 2>&1; then
  grep -aE -A12 '(error|Error|FAILED)' "$log" | tail -n 60 >&2 || tail -n 60 "$log" >&2
  echo "build.sh: the build failed after $((SECONDS - started)) s; all of its output is in $log" >&2
  exit 1
fi
echo "built $preset in $((SECONDS - started)) s"
