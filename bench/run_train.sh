#!/usr/bin/env bash
# run_train.sh - asd-train and PyTorch side by side on the baseline, whole epochs.
#
#   bench/run_train.sh [--build DIR] [--python PYTHON] [--data DIR] [--machine NAME,...] [--clips N]
#                      [--epochs N] [--threads N] [--rounds N] [--out FILE] [--device cpu|cuda]
#                      [--form eager|compile|dataloader]
#
# Without --data it makes 1,000 ten-second clips of each machine (640 MB each in $TMPDIR, removed at
# the end). --machine: fan; with --device cuda all six that asd-data synth knows, because there
# asd-train trains all machines at once; PyTorch trains them one after another on the same GPU.
# The two take turns for --rounds rounds; each round is one line of JSON in FILE (default
# bench/results/train.jsonl), and the ratio of clips/s with its spread goes to the terminal:
#   asd_train_s, torch_train_s    seconds of the training loop, held-out loss included
#   asd_whole_s                   the whole of asd-train: features, training, covariances, files
#   torch_with_features_s         features and training, without starting Python
# PYTHON needs torch, numpy, soundfile and librosa: bench/peers/README.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$here/../build python=python3 data='' machines='' clips=1000 epochs=2 rounds=3
threads=$(nproc) out=$here/results/train.jsonl device=cpu form=eager

while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || { echo "run_train.sh: $1 wants a value" >&2; exit 2; }
    case $1 in
    --build) build=$2 ;; --python) python=$2 ;; --data) data=$2 ;; --machine) machines=$2 ;;
    --clips) clips=$2 ;; --epochs) epochs=$2 ;; --threads) threads=$2 ;; --rounds) rounds=$2 ;;
    --out) out=$2 ;; --device) device=$2 ;; --form) form=$2 ;;
    *) echo "run_train.sh: unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done
for program in asd-train asd-data; do
    [ -x "$build/$program" ] || { echo "run_train.sh: no $build/$program: build first" >&2; exit 2; }
done
"$python" -c 'import torch, numpy, soundfile, librosa' 2>/dev/null || {
    echo "run_train.sh: $python lacks torch, numpy, soundfile or librosa: see bench/peers/README.md" >&2
    exit 2
}

if [ -z "$machines" ]; then
    machines=fan
    [ "$device" = cpu ] || machines=fan,gearbox,bearing,slider,valve,ToyCar
fi
IFS=, read -ra each <<<"$machines"

work=$(mktemp -d "${TMPDIR:-/tmp}/asd-bench-XXXXXX")
trap 'rm -rf "$work"' EXIT
if [ -z "$data" ]; then
    data=$work/data
    echo "making $clips clips of 10 s of $machines" >&2
    "$build/asd-data" synth --machines "$machines" --train-source $((clips - 10)) --train-target 10 \
        --test 1 -q "$data"
fi
folders=()
for machine in "${each[@]}"; do
    folder=$(find "$data" -type d -path "*/$machine/train" -print -quit)
    [ -n "$folder" ] || { echo "run_train.sh: no $machine/train under $data" >&2; exit 3; }
    n=$(find "$folder" -name '*.wav' | wc -l)
    [ "$n" -eq "$clips" ] || { echo "run_train.sh: $n clips in $folder, want $clips (--clips)" >&2; exit 3; }
    folders+=("$(dirname "$folder")")
done

# number KEY: the last number of that key in JSON lines on stdin
number() { grep -o "\"$1\": *[-+0-9.e]*" | tail -1 | sed 's/.*: *//'; }
# total KEY: their sum
total() { grep -o "\"$1\": *[-+0-9.e]*" | awk '{ s += $NF } END { printf "%.6g\n", s }'; }
# text KEY: that text in what the peer printed
text() { grep -o "\"$1\": \"[^\"]*\"" "$work/peer.jsonl" | tail -1 | cut -d'"' -f4; }

mkdir -p "$(dirname "$out")"
commit=$(git -C "$here" describe --always --dirty 2>/dev/null || echo unknown)
version=$("$build/asd-train" --version | head -1)
ratios=()
for round in $(seq "$rounds"); do
    rm -rf "$work/run"
    load=$(cut -d" " -f1 /proc/loadavg) # above the threads: somebody else was computing
    begin=$(date +%s.%N)
    "$build/asd-train" dcase-baseline --data "$data" --run "$work/run" -j "$threads" -q \
        --device "$device" --set "data.machines=[$machines]" --set "train.epochs=$epochs" >/dev/null
    wall=$(awk -v a="$begin" -v b="$(date +%s.%N)" 'BEGIN { print b - a }')
    ours=$(number seconds <"$work/run/log/metrics.jsonl")
    for folder in "${folders[@]}"; do
        "$python" "$here/peers/train_autoencoder.py" --data "$folder" --clips "$clips" \
            --epochs "$epochs" --threads "$threads" --form "$form" --device "$device"
    done >"$work/peer.jsonl"
    theirs=$(grep '"what": "train"' "$work/peer.jsonl" | total seconds)
    features=$(grep '"what": "features"' "$work/peer.jsonl" | total seconds)
    line=$(awk -v a="$ours" -v b="$theirs" -v wa="$wall" -v fb="$features" -v w="$((clips * epochs * ${#each[@]}))" \
        -v meta="\"round\": $round, \"date\": \"$(date +%Y-%m-%dT%H:%M:%S)\", \"cpu\": \"$(text cpu)\", \
\"cores\": $(nproc), \"load\": $load, \"threads\": $threads, \"commit\": \"$commit\", \"asd\": \"$version\", \
\"torch\": \"$(text torch)\", \"device\": \"$device\", \"gpu\": \"$(text gpu)\", \"form\": \"$form\", \
\"machines\": ${#each[@]}, \"clips\": $clips, \"epochs\": $epochs" 'BEGIN {
        printf "{\"what\": \"train/side-by-side\", %s, ", meta
        printf "\"asd_train_s\": %.4g, \"torch_train_s\": %.4g, ", a, b
        printf "\"asd_clips_per_s\": %.5g, \"torch_clips_per_s\": %.5g, \"ratio\": %.4g, ", w/a, w/b, b/a
        printf "\"asd_whole_s\": %.4g, \"torch_with_features_s\": %.4g, ", wa, b + fb
        printf "\"ratio_whole\": %.4g}\n", (b + fb) / wa }')
    echo "$line" | tee -a "$out"
    ratios+=("$(echo "$line" | number ratio)")
done
printf '%s\n' "${ratios[@]}" | sort -g | awk '{ r[NR] = $1 } END {
    m = NR % 2 ? r[(NR + 1) / 2] : (r[NR / 2] + r[NR / 2 + 1]) / 2
    printf "asd-train / PyTorch, clips/s: median %.2f (%.2f to %.2f over %d rounds)\n", m, r[1], r[NR], NR
}' >&2
