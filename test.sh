#!/usr/bin/env bash
# test.sh - install, build and run all tests, as CI does. Needs no GPU; 20 minutes at most on two cores.
#
#   ./test.sh            every stage
#   ./test.sh STAGE...   only these: style cpu debug clang
#
#   style   sources as clang-format and tests/run_style.sh want them
#   cpu     gcc, warnings are errors, every test
#   debug   gcc with AddressSanitizer and UndefinedBehaviorSanitizer, the unit tests
#   clang   clang, warnings are errors, the unit tests
set -euo pipefail
cd "$(dirname "$0")"

stages=("$@")
[ $# -gt 0 ] || stages=(style cpu debug clang)
for stage in "${stages[@]}"; do
    case $stage in
    style | cpu | debug | clang) ;;
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
        exit 0
        ;;
    *)
        echo "test.sh: unknown stage $stage; valid: style cpu debug clang" >&2
        exit 2
        ;;
    esac
done

scripts/install-deps.sh --test
# A run that finds ccache uses it: the second one is then mostly tests.
if command -v ccache >/dev/null; then
    export CMAKE_C_COMPILER_LAUNCHER=ccache
fi

quiet() { # run a step; show its output only when it fails
    local log
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        echo "test.sh: failed: $*" >&2
        exit 1
    fi
    rm -f "$log"
}

for stage in "${stages[@]}"; do
    printf '\n== %s ==\n' "$stage"
    began=$SECONDS
    if [ "$stage" = style ]; then
        ASD_SOURCE=$PWD tests/run_style.sh
    else
        quiet cmake --preset "$stage" -DASD_WERROR=ON -DBUILD_TESTING=ON
        quiet cmake --build --preset "$stage"
        ctest --preset "$stage" -j "$(nproc)"
    fi
    printf '== %s: %d s ==\n' "$stage" $((SECONDS - began))
done
