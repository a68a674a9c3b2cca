#!/usr/bin/env bash
# Counts the lines and branches of the parsers that each target reaches with the kept corpus and the found units. Called by
# run.sh --coverage.
#
#   tests/fuzz/coverage.sh FOUND TARGET...     FOUND: a folder with found units, one folder in it for each target
#
# A target's parsers are those that CMakeLists.txt names. Its lines are kept with their counts in build/fuzz-coverage/TARGET.lines.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/build/fuzz-coverage
found=$1
shift
mkdir -p "$build"

if ! { cmake -S "$root" --preset fuzz -B "$build" -DGORGONE_FUZZ_COVERAGE=ON && cmake --build "$build" --target "${@/#/fuzz_}"; } \
  >"$build/build.log" 2>&1; then
  tail -n 40 "$build/build.log" >&2
  echo "coverage.sh: the build failed; all of its output is in $build/build.log" >&2
  exit 1
fi

# Where ccache is told of a base folder, files are known by their way from the build's folder.
same_files=(-path-equivalence="$build/../../,$root/")
for name in "$@"; do
  program=$build/bin/fuzz_$name
  mapfile -t parsers <"$build/parsers/$name"
  mkdir -p "$found/$name"
  LLVM_PROFILE_FILE=$build/$name.profraw "$program" -runs=0 -artifact_prefix="$build/$name-" "$root/tests/fuzz/corpus/$name" "$found/$name" \
    >"$build/$name.log" 2>&1 || { tail -n 20 "$build/$name.log" >&2; echo "coverage.sh: $name failed, see $build/$name.log" >&2; exit 1; }
  llvm-profdata-14 merge -sparse "$build/$name.profraw" -o "$build/$name.profdata"
  llvm-cov-14 export -summary-only "${same_files[@]}" -instr-profile "$build/$name.profdata" "$program" "${parsers[@]}" >"$build/$name.json"
  llvm-cov-14 show -show-branches=count "${same_files[@]}" -instr-profile "$build/$name.profdata" "$program" "${parsers[@]}" >"$build/$name.lines"
done
/usr/bin/python3 - "$root" "$found" "$@" <<'PYTHON'
import json
import os
import pathlib
import re
import sys

root, found, *targets = sys.argv[1:]
root = pathlib.Path(root)
print("| target | executions | inputs | files | lines | branches |\n| --- | --- | --- | --- | --- | --- |")
for target in targets:
    build = root / "build/fuzz-coverage"
    data = json.loads((build / f"{target}.json").read_text())["data"][0]
    seen = {os.path.normpath(file["filename"]) for file in data["files"]}
    parsers = (build / "parsers" / target).read_text().split()
    if missing := [parser for parser in parsers if parser not in seen]:
        sys.exit(f"coverage.sh: fuzz_{target} is built without {', '.join(missing)}")
    # Those of the run before, which searched; this one only counts.
    runs = re.findall(r"number_of_executed_units: *(\d+)", (root / f"build/fuzz/logs/{target}.log").read_text(errors="replace"))
    inputs = sum(len(list(folder.iterdir())) for folder in (root / "tests/fuzz/corpus" / target, pathlib.Path(found) / target))
    covered = (f"{data['totals'][what]['percent']:.1f} % of {data['totals'][what]['count']:,}" for what in ("lines", "branches"))
    files = " ".join(f"`{pathlib.Path(parser).name}`" for parser in parsers)
    print(f"| `{target}` | {int((runs or [0])[-1]):,} | {inputs:,} | {files} | {' | '.join(covered)} |")
PYTHON
