#!/usr/bin/env bash
# run_fuzz.sh - runs every fuzz target (tests/fuzz/fuzz_NAME.c) for some seconds, from seeds made here.
#
#   tests/run_fuzz.sh [SECONDS [NAME...]]      default 5 seconds, all targets
#
# An input that breaks a rule, crashes, leaks, or takes more than 10 s or 1 GiB is left in FOLDER/NAME/crash-*, and the exit
# code is 1; FOLDER is fuzz/ in the build, or ASD_FUZZ_FOLDER. What a run finds interesting is kept there for the next.
# Skipped (77) where there is no clang with libFuzzer.
set -euo pipefail
source=$(cd "${ASD_SOURCE:-$(dirname "$0")/..}" && pwd)
seconds=${1:-5}
[ $# -eq 0 ] || shift
case $seconds in
'' | *[!0-9]*) echo "run_fuzz: \"$seconds\" seconds; want a whole number" >&2; exit 2 ;;
esac
folder=${ASD_FUZZ_FOLDER:-${ASD_BIN:-$source/build}/fuzz}

clang=$(command -v "${ASD_CLANG:-clang}" || true)
probe='int LLVMFuzzerTestOneInput(const unsigned char *p, unsigned long n) { return (int)(p && n && 0); }'
mkdir -p "$folder"
if [ -z "$clang" ] || ! "$clang" -fsanitize=fuzzer,address,undefined -x c - -o "$folder/probe" <<<"$probe" 2>/dev/null; then
    echo "run_fuzz: skipped: no clang with libFuzzer here (Debian: clang, libclang-rt-14-dev)"
    exit 77
fi

if ! {
    cmake -S "$source" -B "$folder/build" -G Ninja -DCMAKE_C_COMPILER="$clang" -DASD_FUZZ=ON -DASD_WERROR=ON &&
        cmake --build "$folder/build"
} >"$folder/build.log" 2>&1; then
    tail -n 40 "$folder/build.log" >&2
    exit 1
fi

# --- seeds ---
seeds=$folder/seeds
rm -rf "$seeds"
"$folder/build/make_seeds" "$seeds"
cp "$source"/tests/golden/torch_*.pt "$seeds/zip/"
mkdir -p "$seeds"/{recipe,scores,names}
cp "$source"/recipes/*.yaml "$seeds/recipe/"
printf 'base: dcase-baseline\nsmoke: {train.epochs: 1}\ntrain:\n  lr: 1e-3\n  "batch": 0x10\n' >"$seeds/recipe/small.yaml"
printf '0section_00_0000.wav,0.5\nsection_00_0001.wav,-1e-3\r\n\n' >"$seeds/scores/two"
printf '1# note\na.wav,1\nb.wav,0.0\nc.wav,nan\n' >"$seeds/scores/notes"
n=0
for name in section_00_source_train_normal_0000_spd_28V.wav section_02_target_test_anomaly_0199_noAttribute.wav \
    section_00_0000.wav section_01_source_test_0012.wav normal_id_00_00000000.wav anomaly_id_06_00000123.wav id_04_00000001.wav \
    section_00_source_test_normal_0001_car_A1_spd_28V_mic_1.wav anomaly_score_fan_section_00_test.csv \
    anomaly_score_DCASE2026T2bearing_section_00_test_seed0.csv; do
    printf '%s' "$name" >"$seeds/names/$((n += 1))"
done

# --- runs ---
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
    for main in "$source"/tests/fuzz/fuzz_*.c; do
        name=$(basename "$main" .c)
        names+=("${name#fuzz_}")
    done
fi
failed=0
for name in "${names[@]}"; do
    work=$folder/$name
    mkdir -p "$work/corpus"
    options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=16384 -print_final_stats=1 -verbosity=0)
    [ ! -f "$source/tests/fuzz/$name.dict" ] || options+=(-dict="$source/tests/fuzz/$name.dict")
    if (cd "$source" && "$folder/build/fuzz_$name" "${options[@]}" -artifact_prefix="$work/" "$work/corpus" "$seeds/$name") \
        >"$work/log" 2>&1; then
        printf 'ok   fuzz/%s: %s inputs, %s kept\n' "$name" \
            "$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")" "$(find "$work/corpus" -type f | wc -l)"
    else
        grep -E 'ERROR|broken:|SUMMARY|runtime error|Test unit written' "$work/log" | head -n 12 >&2 || true
        printf 'FAIL fuzz/%s (%s)\n' "$name" "$work/log"
        failed=1
    fi
done
exit $failed
