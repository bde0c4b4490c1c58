#!/usr/bin/env bash
# run_mutants.sh - breaks the CUDA kernels one place at a time and asks whether a test notices: see mutate.py.
#
#   ASD_BIN=build-cpu tests/run_mutants.sh [options of mutate.py]
#   ASD_MUTANTS=all ...      every mutant: half an hour of one core. Otherwise eight a file, of barriers and two others a
#                            function, without those that tests/mutants.txt explains
#
# Needs a build with -DASD_MUTANTS=ON (preset cpu) and python3.
set -euo pipefail
source=$(cd "${ASD_SOURCE:-$(dirname "$0")/..}" && pwd)
bin=${ASD_BIN:?run_mutants: set ASD_BIN to the build folder}
if [ ! -x "$bin/test_ops_mutants" ]; then
    echo "run_mutants: $bin/test_ops_mutants is missing; configure with -DASD_MUTANTS=ON and build" >&2
    exit 1
fi
cached() { sed -n "s/^$1:[A-Z]*=//p" "$bin/CMakeCache.txt"; }
others=()
[ "${ASD_MUTANTS:-}" != all ] || others=(--others=-1)
exec python3 "$source/tests/mutate.py" --source "$source" --bin "$bin" --cxx "$(cached CMAKE_CXX_COMPILER)" \
    --system-include "$(cached RANDOM123_INCLUDE)" "${others[@]}" "$@"
