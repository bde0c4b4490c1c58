#!/usr/bin/env bash
# run_blind.sh - asd-eval score sees nothing but the sound of one clip: not its name, label or domain, not the other test
# clips, not their order. And what is missing or wrong is said with the right exit code.
set -euo pipefail
bin=${ASD_BIN:-build}
src=${ASD_SOURCE:-$(cd "$(dirname "$0")/.." && pwd)}
work=$(mktemp -d "${TMPDIR:-/tmp}/asd-blind-XXXXXX")
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=2

source "$(dirname "$0")/checks.sh"
run() { # run STATUS PROGRAM ARGS...: of asd-train or asd-eval score, with the recipe
    local want=$1 got=0 program=$2
    shift 2
    # shellcheck disable=SC2086 # the program may be two words
    "$bin"/$program "$work/tiny.yaml" "$@" >"$work/out" 2>"$work/err" || got=$?
    if [ "$got" = "$want" ]; then ok; else
        bad "$program $*: exit $got, want $want"
        sed 's/^/    /' "$work/err"
    fi
    if [ "$want" != 0 ] && [ -s "$work/out" ]; then bad "$program $*: failed, but wrote to standard output"; fi
}
train() { run "$1" asd-train "${@:2}"; }
score() { run "$1" "asd-eval score" "${@:2}"; }

# --- data: two machines, clips of two lengths ---
"$bin/asd-data" synth "$work/data" --machines fan,valve --train-source 20 --train-target 4 --test 3 --seconds 1 >/dev/null 2>&1
"$bin/asd-data" synth "$work/long" --machines fan --train-source 0 --train-target 0 --test 1 --seconds 2 --seed 3 >/dev/null 2>&1
raw=$work/data/dev_data/raw
cat >"$work/tiny.yaml" <<EOF
base: $src/recipes/dcase-baseline.yaml
name: tiny
front_end: {n_fft: 256, hop_samples: 128, n_mels: 16}
model: {hidden: 24, depth: 2, code: 4}
train: {epochs: 3, batch: 64, log_every_steps: 100, ckpt_every_s: 0}
score: {detectors: [mse, selective_mahalanobis, selective_mahalanobis(mode=framewise)]}
EOF
detectors="mse selective_mahalanobis selective_mahalanobis-mode-framewise"
i=100
for clip in "$work"/long/dev_data/raw/fan/test/*.wav; do
    cp "$clip" "$raw/fan/test/section_00_source_test_normal_0$((i++))_x.wav"
done

# table DATA RUN: "detector machine sound score decision" of every test clip, the sound by its hash, whatever its name
table() {
    local detector machine
    for detector in $detectors; do
        for machine in fan valve; do
            [ -d "$1/dev_data/raw/$machine" ] || continue
            join -t, <(cd "$1/dev_data/raw/$machine/test" && md5sum -- *.wav | sed -E 's/^([0-9a-f]+)  (.*)$/\2,\1/' | LC_ALL=C sort) \
                <(paste -d, "$2/scores/$detector/anomaly_score_${machine}_section_00_test.csv" \
                    <(cut -d, -f2 "$2/scores/$detector/decision_result_${machine}_section_00_test.csv") | LC_ALL=C sort) |
                sed -E "s/^[^,]*/$detector,$machine/"
        done
    done | LC_ALL=C sort
}
export LC_ALL=C
rescore() { # rescore DATA TEXT [FILTER]: scores DATA anew; the table, what of it matches FILTER, equals the reference's
    rm -rf "$work/run/scores"
    score 0 --data "$1" --run "$work/run"
    table "$1" "$work/run" >"$work/table"
    check "$2" diff <(grep -E "${3:-.}" "$work/reference") <(grep -E "${3:-.}" "$work/table")
}
copy() { # copy NAME: the data again, in $data, to be changed; clips are links to the same files
    data=$work/$1
    cp -rl "$work/data" "$data"
}

train 0 --data "$work/data" --run "$work/run"
score 0 --data "$work/data" --run "$work/run"
check "stdout names the folders" test "$(cat "$work/out")" = "$(printf "$work/run/scores/%s\n" $detectors)"
table "$work/data" "$work/run" >"$work/reference"
check "28 clips, three detectors" test "$(wc -l <"$work/reference")" = 84
check "no score twice" test "$(cut -d, -f4 "$work/reference" | sort -u | wc -l)" = 84
score 0 --data "$work/data" --run "$work/run"
table "$work/data" "$work/run" >"$work/table"
check "again" cmp "$work/table" "$work/reference"
cp -r "$work/run/scores" "$work/scores"
score 0 --data "$work/data" --run "$work/run" --clip section_00_source_test_normal_0100_x.wav
check "--clip writes nothing" diff -r "$work/scores" "$work/run/scores"

# --- alone ---
count=0
for clip in "$raw"/{fan,valve}/test/*.wav; do
    machine=$(basename "$(dirname "$(dirname "$clip")")")
    hash=$(md5sum "$clip" | cut -c1-32)
    [ $((count++ % 4)) = 0 ] || continue
    score 0 --data "$work/data" --run "$work/run" --clip "$(basename "$clip")" -j $((1 + count % 3))
    check "--clip $(basename "$clip")" diff <(awk -F, -v h="$hash" '$3 == h { printf "%s,%s,%.17g,%d\n", $1, $2, $4, $5 }' "$work/reference") \
        <(grep ",$machine," "$work/out" | cut -d, -f1,2,4,5 | sort)
    data=$work/only
    mkdir -p "$data/dev_data/raw/$machine/test"
    cp -rl "$raw/$machine/train" "$data/dev_data/raw/$machine"
    ln "$clip" "$data/dev_data/raw/$machine/test/section_00_0000.wav"
    rescore "$data" "$(basename "$clip") as the only test clip" ",$machine,$hash"
    check "one row" test "$(wc -l <"$work/table")" = 3
    rm -rf "$data"
done
score 0 --data "$work/data" --run "$work/run" --clip section_00_source_test_normal_0100_x.wav --json
check "--clip --json" test "$(grep -c '"score"' "$work/out")" = 3

# --- names and order ---
opaque() { # opaque DATA: test clips get numbers for names, in an order of their hashes
    local machine i clip folder
    for machine in fan valve; do
        folder=$1/dev_data/raw/$machine/test
        i=0
        while read -r clip; do
            mv "$folder/$clip" "$folder/$(printf 'section_00_%04d.wav' "$i")"
            i=$((i + 1))
        done < <(cd "$folder" && md5sum -- *.wav | sort | cut -c35-)
        rm "$1/dev_data/raw/$machine/attributes_00.csv"
    done
}
copy opaque
opaque "$data"
rescore "$data" "opaque names"
copy swapped
for clip in "$data"/dev_data/raw/*/test/*.wav; do # labels and domains the other way round
    mv "$clip" "$(sed -E 's/normal/ANOMALY/; s/anomaly/normal/; s/source_test/TARGET_test/; s/target_test/source_test/; s/ANOMALY/anomaly/; s/TARGET/target/' <<<"$clip").new"
done
for clip in "$data"/dev_data/raw/*/test/*.new; do mv "$clip" "${clip%.new}"; done
rescore "$data" "labels and domains swapped"

# --- company ---
copy company
rm "$data/dev_data/raw/fan/test/section_00_source_test_normal_0000_"*
cp "$raw/valve/test/section_00_target_test_anomaly_0000_"* "$data/dev_data/raw/fan/test/section_00_target_test_anomaly_0777_x.wav"
gone=$(md5sum "$raw"/fan/test/section_00_source_test_normal_0000_* | cut -c1-32)
came=$(md5sum "$raw"/valve/test/section_00_target_test_anomaly_0000_* | cut -c1-32)
grep -v "fan,$gone" "$work/reference" >"$work/fewer"
rm -rf "$work/run/scores"
score 0 --data "$data" --run "$work/run"
check "other test clips" diff "$work/fewer" <(table "$data" "$work/run" | grep -v "fan,$came")
copy one-machine
rm -r "$data/dev_data/raw/valve"
rescore "$data" "one machine alone" ",fan,"
for threads in 1 3; do
    OMP_NUM_THREADS=$threads rescore "$work/data" "OMP_NUM_THREADS=$threads"
done

# --- what is missing or wrong ---
score 2 --run "$work/run"
says err "--data DIR is missing"
score 3 --data "$work/nowhere" --run "$work/run"
says err "$work/nowhere"
score 3 --data "$work/data" --run "$work/nowhere"
says err "train first"
score 2 --data "$work/data" --run "$work/run" --set train.epochs=4
says err "another configuration"
score 2 --data "$work/data" --run "$work/run" --set score.treshold=gamma
says err "score.threshold"
score 2 --data "$work/data" --run "$work/run" --set 'score.detectors=[mse, selective_mahalanobi]'
says err 'did you mean "selective_mahalanobis"'
score 2 --data "$work/data" --run "$work/run" --set 'score.detectors=[mse, mse()]'
says err "twice"
score 3 --data "$work/data" --run "$work/run" --clip section_00_source_test_normal_0001.wav
says err "no test clip of that name"
cp -r "$work/run" "$work/half"
sed -i 's/"state": "done"/"state": "running"/' "$work/half/run.json"
score 3 --data "$work/data" --run "$work/half"
says err "training is not done"
cp "$work/run/run.json" "$work/half/"
truncate -s -4 "$work/half/ckpt/last/model.safetensors"
score 3 --data "$work/data" --run "$work/half"
says err "model.safetensors"
copy no-tests
rm -r "$data"/dev_data/raw/*/test
score 3 --data "$data" --run "$work/run"
says err "no test clips"
copy empty-test
rm "$data"/dev_data/raw/fan/test/*.wav
score 3 --data "$data" --run "$work/run"
says err "raw/fan/test"
copy no-train
rm -r "$data/dev_data/raw/fan/train"
score 3 --data "$data" --run "$work/run"
says err "fan"
train 3 --data "$data" --run "$work/new"
says err "fan"
copy new-machine
cp -rl "$raw/fan" "$data/dev_data/raw/pump"
score 3 --data "$data" --run "$work/run"
says err "pump.section_00"
copy section
cp "$raw"/fan/test/section_00_source_test_normal_0000_* "$data/dev_data/raw/fan/test/section_03_0000.wav"
score 3 --data "$data" --run "$work/run"
says err "no training clips of section 03"
copy damaged
clip=$data/dev_data/raw/valve/test/section_00_source_test_normal_0001_noAttribute.wav
rm "$clip"
head -c 3000 "$raw/valve/test/$(basename "$clip")" >"$clip"
score 3 --data "$data" --run "$work/run"
says err "$clip"

# --- digital silence: nothing to divide by, but no NaN ---
data=$work/silent
mkdir -p "$data/fan/train" "$data/fan/test"
clip=$(ls "$raw"/fan/train/* | head -1)
for i in 0 1 2 3 4 5 6 7; do
    { head -c 44 "$clip" && head -c $(($(stat -c %s "$clip") - 44)) /dev/zero; } >"$data/fan/train/section_00_source_train_normal_000${i}_x.wav"
done
cp "$data"/fan/train/*0_x.wav "$data/fan/test/section_00_0000.wav"
train 0 --data "$data" --run "$work/silence"
says err "singular"
score 1 --data "$data" --run "$work/silence"
says err "fan.section_00, source domain: the 16 x 16 covariance of residuals is singular"

printf '%d passed, %d failed\n' $passed $failed
[ $failed = 0 ]
