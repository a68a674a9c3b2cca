#!/usr/bin/env bash
# Counts the lines of the parsers that the kept corpus and the found units reach. Called by run.sh --coverage.
#
#   tests/fuzz/coverage.sh FOUND TARGET...     FOUND: a folder with found units, one folder in it for each target
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/build/fuzz-coverage
found=$1
shift
mkdir -p "$build"

if ! { cmake -S "$root" --preset fuzz -B "$build" -DGORGONE_FUZZ_COVERAGE=ON && cmake --build "$build"; } >"$build/build.log" 2>&1; then
  tail -n 40 "$build/build.log" >&2
  echo "coverage.sh: the build failed; all of its output is in $build/build.log" >&2
  exit 1
fi

objects=()
rm -f "$build"/*.profraw
for name in "$@"; do
  program=$build/bin/fuzz_$name
  mkdir -p "$found/$name"
  LLVM_PROFILE_FILE=$build/$name.profraw "$program" -runs=0 "$root/tests/fuzz/corpus/$name" "$found/$name" \
    >"$build/$name.log" 2>&1 || { tail -n 20 "$build/$name.log" >&2; echo "coverage.sh: $name failed, see $build/$name.log" >&2; exit 1; }
  objects+=(-object "$program")
done
llvm-profdata-14 merge -sparse "$build"/*.profraw -o "$build/all.profdata"
llvm-cov-14 export -summary-only -instr-profile "$build/all.profdata" "${objects[@]}" >"$build/summary.json"
/usr/bin/python3 - "$root" "$build/summary.json" <<'PYTHON'
import json
import sys

root, summary = sys.argv[1:]
measured = ("core/", "modules/")
linked_only = ("core/journal/journal.cpp", "core/log.cpp", "core/message.cpp", "modules/action/whitelist.cpp")
covered = count = 0
for file in sorted(json.load(open(summary))["data"][0]["files"], key=lambda f: f["filename"]):
    name = file["filename"].removeprefix(root + "/")
    lines = file["summary"]["lines"]
    if not name.startswith(measured) or name in linked_only or not name.endswith(".cpp") or lines["covered"] == 0:
        continue
    covered, count = covered + lines["covered"], count + lines["count"]
    print(f"{name:44} {lines['covered']:5} of {lines['count']:5} lines  {100 * lines['covered'] / lines['count']:5.1f} %")
print(f"{'all':44} {covered:5} of {count:5} lines  {100 * covered / max(count, 1):5.1f} %")
PYTHON
