#!/usr/bin/env bash
# test.sh - install, build and run all tests, as CI does. Needs no GPU; about 25 minutes on two cores with ccache filled.
#
#   ./test.sh            every stage
#   ./test.sh STAGE...   only these: style cpu debug clang cuda bits quickstart
#
#   style       sources as clang-format and tests/run_style.sh want them
#   cpu         gcc, warnings are errors, every test; of the mutation test some places of each file, ASD_MUTANTS=all for
#               every one of them (tests/run_mutants.sh)
#   debug       gcc with AddressSanitizer and UndefinedBehaviorSanitizer; the unit tests, each op's small cases once
#               (ASD_TEST_HASTE, see tests/test_ops.c) and no case that compares the bits of a second run, without the
#               full-size encoders: memory is the same at any size. Uses of a stack after return are looked for in C,
#               not in kernels on the shim. All of it, for half an hour: ASAN_OPTIONS=detect_stack_use_after_return=1
#               build-debug/test_NAME_simt, one test after the other
#   clang       clang, warnings are errors; the unit tests without large shapes, and without the kernels on the shim,
#               which are compiled alone (gcc runs them in cpu and debug)
#   cuda        nvcc, warnings are errors; no kernel spills unexplained; the programs start without CUDA's libraries.
#               For 80, 90a and 120, which take every path through the sources; ASD_CUDA_ARCHITECTURES=all as users
#               build. Skipped without a CUDA toolkit. What kernels compute is tested in cpu and debug
#   bits        clips, weights, scores and Omega of the gcc and the clang build are equal (needs cpu and clang)
#   quickstart  quickstart.sh in a copy of the sources, without CUDA, on a tiny data set of its own (needs stage cpu),
#               and again, when all is done already
set -euo pipefail
cd "$(dirname "$0")"

stages=("$@")
[ $# -gt 0 ] || stages=(style cpu debug clang cuda bits quickstart)
for stage in "${stages[@]}"; do
    case $stage in
    style | cpu | debug | clang | cuda | bits | quickstart) ;;
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
        exit 0
        ;;
    *)
        echo "test.sh: unknown stage $stage; valid: style cpu debug clang cuda bits quickstart" >&2
        exit 2
        ;;
    esac
done

scripts/install-deps.sh --test
# A run that finds ccache uses it: the second one is then mostly tests.
if command -v ccache >/dev/null; then
    export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache CMAKE_CUDA_COMPILER_LAUNCHER=ccache
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
quiet() { # run a step; show its output only when it fails
    if ! "$@" >"$scratch/log" 2>&1; then
        cat "$scratch/log" >&2
        echo "test.sh: failed: $*" >&2
        exit 1
    fi
}

tiny_set=(--machines "fan,valve" --train-source 12 --train-target 3 --test 4 --seconds 2)

same() { # same NAME A B: files or folders
    local differing
    differing=$(diff -rq "$2" "$3" | head -n 5 || true)
    if [ -n "$differing" ]; then
        printf '%s\ntest.sh: gcc and clang give different %s\n' "$differing" "$1" >&2
        exit 1
    fi
    echo "ok   bits/$1"
}

compare_compilers() {
    local work=$scratch/bits build
    for build in cpu clang; do
        PATH=$PWD/build-$build:$PATH
        mkdir -p "$work/$build"
        quiet asd-data synth "$work/$build/data" "${tiny_set[@]}"
        quiet asd-train dcase-baseline --data "$work/cpu/data" --run "$work/$build/run" --set train.epochs=2
        quiet asd-eval score dcase-baseline --data "$work/cpu/data" --run "$work/$build/run" --set train.epochs=2
        quiet asd-eval omega "$work/$build/run/scores/mse" --json -o "$work/$build/omega.json"
    done
    same clips "$work/cpu/data" "$work/clang/data"
    same weights "$work/cpu/run/ckpt/last/model.safetensors" "$work/clang/run/ckpt/last/model.safetensors"
    same scores "$work/cpu/run/scores" "$work/clang/run/scores"
    same omega "$work/cpu/omega.json" "$work/clang/omega.json"
}

compile_for_cuda() {
    local program needed number known=''
    PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin
    if ! command -v nvcc >/dev/null; then
        echo "skip cuda: there is no nvcc"
        return
    fi
    # A folder of its own: its C, which stage cpu has optimised, is only to be compiled. (gcc knows the lengths of texts
    # when it optimises, and warns of others.)
    local build=build-cuda-test options=(-DASD_WERROR=ON -DBUILD_TESTING=OFF)
    options+=(-DCMAKE_C_FLAGS_RELEASE="-O0 -DNDEBUG -Wno-format-truncation")
    if [ "${ASD_CUDA_ARCHITECTURES:-}" = all ]; then
        options+=(-UCMAKE_CUDA_ARCHITECTURES)
    else
        for number in 80 90a 120; do # those that the toolkit knows
            ! nvcc --list-gpu-code | grep -x "sm_${number%a}" >/dev/null || known+=${known:+;}$number
        done
        options+=(-DCMAKE_CUDA_ARCHITECTURES="$known")
    fi
    quiet cmake --preset cuda -B $build "${options[@]}"
    quiet cmake --build $build
    echo "ok   cuda/compile ($(sed -n 's/^CMAKE_CUDA_ARCHITECTURES:[A-Z]*=//p' $build/CMakeCache.txt))"
    quiet cmake --build $build --target kernel-resources
    echo "ok   cuda/kernel-resources: $(grep -E '^[0-9]+ kernels' "$scratch/log")"
    for program in $build/asd-*; do
        needed=$(readelf -d "$program" | grep -oE 'NEEDED.*\[lib(cuda|cublas|cufft|cudnn|nv|nccl)[^]]*' || true)
        if [ -n "$needed" ]; then
            printf 'test.sh: %s starts only where there is CUDA: %s\n' "$program" "$needed" >&2
            exit 1
        fi
    done
    quiet $build/asd-info
    echo "ok   cuda/starts-without-cuda"
}

# From clips to the report as a user gets them, small.
try_quickstart() {
    local work=$scratch/quickstart log=$scratch/quickstart.log report times clone=$scratch/clone
    quiet build-cpu/asd-data synth "$work/data" "${tiny_set[@]}"
    # Built in a copy, for the CPU and quickly: stages cpu and cuda have compiled it as users do.
    mkdir "$clone"
    tar -c --exclude='./build*' --exclude=./.git --exclude=./runs --exclude=./data . | tar -xC "$clone"
    quiet cmake -S "$clone" -B "$clone/build-quickstart" -G Ninja -DASD_CUDA=OFF -DCMAKE_C_FLAGS_RELEASE="-O1 -DNDEBUG"
    for times in 1 2; do
        if ! "$clone/quickstart.sh" --data "$work/data" --run "$work/run" --epochs 1 >"$log" 2>&1; then
            cat "$log" >&2
            exit 1
        fi
        report=$(tail -n 1 "$log")
        if [ "$(grep -c '^Omega [0-9.]* \[[0-9.]*, [0-9.]*\]' "$log")" != 2 ] || ! grep -q '^B - A .*\[.*\]' "$log" ||
            ! grep -q '</html>' "$report"; then
            cat "$log" >&2
            echo "test.sh: quickstart ran, and a table of Omega, the difference or the report is missing" >&2
            exit 1
        fi
        echo "ok   quickstart/run-$times"
    done
}

for stage in "${stages[@]}"; do
    printf '\n== %s ==\n' "$stage"
    began=$SECONDS
    if [ "$stage" = style ]; then
        ASD_SOURCE=$PWD tests/run_style.sh
    elif [ "$stage" = bits ]; then
        compare_compilers
    elif [ "$stage" = cuda ]; then
        compile_for_cuda
    elif [ "$stage" = quickstart ]; then
        try_quickstart
    else
        quiet cmake --preset "$stage" -DASD_WERROR=ON -DBUILD_TESTING=ON
        quiet cmake --build --preset "$stage"
        ctest --preset "$stage" -j "$(nproc)"
    fi
    printf '== %s: %d s ==\n' "$stage" $((SECONDS - began))
done
