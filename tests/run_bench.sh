#!/usr/bin/env bash
# run_bench.sh - asd-bench as a user calls it: the table, the JSON lines, comparisons, exit codes, messages. Short runs;
# what a timing says is not tested.
set -euo pipefail
bin=${ASD_BIN:-build}
src=${ASD_SOURCE:-$(cd "$(dirname "$0")/.." && pwd)}
work=$(mktemp -d "${TMPDIR:-/tmp}/asd-bench-XXXXXX")
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=2

source "$(dirname "$0")/checks.sh"
run() { # run STATUS ARGS...: stdout and stderr go to $work/out and $work/err
    local want=$1 got=0
    shift
    "$bin/asd-bench" "$@" >"$work/out" 2>"$work/err" || got=$?
    if [ "$got" = "$want" ]; then ok; else
        bad "asd-bench $*: exit $got, want $want"
        sed 's/^/    /' "$work/err"
    fi
}
says() { # says FILE TEXT: the latest run's stdout (out) or stderr (err) holds TEXT
    if grep -qF -- "$2" "$work/$1"; then ok; else
        bad "standard $1 lacks: $2"
        sed 's/^/    /' "$work/$1"
    fi
}
lacks() { # lacks FILE TEXT
    if grep -qF -- "$2" "$work/$1"; then bad "$1 holds: $2"; else ok; fi
}

tiny=(--device cpu --alone --min-time 0.002 --warm-up 0 --cold 1)

# --- the table and the file ---
run 0 kernels "${tiny[@]}" --op relu -o "$work/a.jsonl"
says out 'ceilings: '
says out '% roof'
for pass in fwd bwd; do
    if grep -qE "^relu +B=256,C=128 +f32 +$pass +[0-9.]+ " "$work/out"; then ok; else bad "no table line of relu $pass"; fi
done
lacks out '"schema"'
lacks out 'B=3,C=7' # a small case, for tests
if [ "$(wc -l <"$work/a.jsonl")" = 5 ]; then ok; else bad "a.jsonl: $(wc -l <"$work/a.jsonl") lines, want 1 + 2 x 2"; fi
if [ "$(ls "$work")" = $'a.jsonl\nerr\nout' ]; then ok; else bad "something was left beside a.jsonl: $(ls -A "$work")"; fi

# --- JSON: every field that is promised, one object a line ---
run 0 kernels "${tiny[@]}" --op linear --case 256 --pass bwd --json
head -n 1 "$work/out" >"$work/head"
tail -n +2 "$work/out" >"$work/lines"
for key in '"schema":"asd.bench/1"' '"what":"run"' '"date":"2' '"commit":' '"version":' '"kind":"cpu"' '"threads":2' \
    '"cpu_clock_hz":' '"load":' '"flops_per_s":' '"bytes_per_s":' '"cache_bytes":' '"min_seconds":0.002' '"oneDNN":' \
    '"processor":' '"compiler":' '"peer":null'; do
    says head "$key"
done
for key in '"what":"kernel"' '"op":"linear"' '"case":"B=256,C=640,O=128"' '"shape":"(256, 640) (128, 640) (128) -> (256, 128)"' \
    '"dtype":"f32"' '"pass":"bwd"' ', 2 threads"' '"passed":true' '"error":' '"limit":' '"same_bits":true' \
    '"flops":83886080.0' '"bytes":' '"median_us":' '"p20_us":' '"p80_us":' '"min_us":' '"repeats":' '"cold_median_us":' \
    '"tflops":' '"gbytes_per_s":' '"roofline":' '"cold_roofline":' '"roof":"' '"library":null' '"samples_us":['; do
    says lines "$key"
done
lacks lines '"pass":"fwd"'
if command -v python3 >/dev/null; then
    if python3 -c 'import json, sys; [json.loads(l) for l in open(sys.argv[1])]' "$work/out"; then ok; else bad "no JSON lines"; fi
fi

# --- stand-in, small cases, optimiser ---
run 0 kernels "${tiny[@]:0:2}" --min-time 0.002 --warm-up 0 --cold 0 --op relu --case B=256 --python /nonexistent/python --json
says out '"name":"oneDNN'
says out '"ratio":'
says err 'no times of PyTorch'
lacks out 'cold_median_us'
run 0 kernels "${tiny[@]}" --op mse --all
says out 'B=3,C=5'
run 0 kernels "${tiny[@]}" --op adam -q
says out 'adam '

# --- compare ---
run 0 compare "$work/a.jsonl" "$work/a.jsonl"
says out ' 1.000 ['
# B: everything takes a second.
sed -E '/"what":"kernel"/s/("samples_us":\[)[^]]*/\1900000,900001,900002/' "$work/a.jsonl" >"$work/slow.jsonl"
run 5 compare "$work/a.jsonl" "$work/slow.jsonl"
says out SLOWER
says err '4 of 4 lines are slower; the first: relu'
run 0 compare "$work/slow.jsonl" "$work/a.jsonl" --json -o "$work/compare.json"
for key in '"schema":"asd.bench.compare/1"' '"verdict":"faster"' '"ratio":' '"ci":[' '"only_a":[]' '"n_slower":0'; do
    says compare.json "$key"
done
grep -v '"pass":"bwd"' "$work/a.jsonl" >"$work/half.jsonl"
run 0 compare "$work/a.jsonl" "$work/half.jsonl"
says out 'only in A: relu B=256,C=128 f32 bwd'
sed 's/, 2 threads"/, 4 threads"/' "$work/a.jsonl" >"$work/other.jsonl"
run 3 compare "$work/a.jsonl" "$work/other.jsonl"
says err 'different devices'
run 0 compare "$work/a.jsonl" "$work/other.jsonl" --force
head -c -20 "$work/a.jsonl" >"$work/cut.jsonl"
run 3 compare "$work/a.jsonl" "$work/cut.jsonl"
says err 'cut.jsonl:5: '
run 3 compare "$work/a.jsonl" "$work/missing.jsonl"
says err missing.jsonl

# --- whole encoders ---
small=(--device cpu --alone --batch 2 --seconds 0.5 --calls 2)
run 0 encoder --encoder tiny_dasheng "${small[@]}"
says out 'clips/s'
says out 'the peak of these threads'
run 0 encoder --encoder tiny_beats "${small[@]}" --json -o "$work/encoder.json"
says out '"schema":"asd.bench-encoder/1"'
grep -Eq '"peak_gflop_per_s":[0-9.e+]+,"peak_by":"[a-z].*","of_peak":0\.[0-9]' "$work/out" || bad "encoder: no share of the peak"
cmp -s "$work/out" "$work/encoder.json" || bad "encoder: -o has another line than --json"
run 0 encoder --encoder tiny_eat "${small[@]}" --precision bf16
says out 'bf16'
run 2 encoder --encoder resnet "${small[@]}"
says err 'beats, eat, sslam, dasheng'
run 2 encoder --encoder tiny_beats --device cpu --seconds 0.1 --alone
says err '2800'

# --- wrong usage, no device ---
run 2
run 2 kernel
says err 'did you mean "kernels"?'
run 2 kernels --op linaer
says err 'did you mean linear?'
run 2 kernels "${tiny[@]}" --op relu --case nothing
says err 'nothing of that name'
run 2 kernels "${tiny[@]}" --precision bf16
says err 'fp32'
run 2 kernels --min-time 0
run 2 compare "$work/a.jsonl"
run 4 kernels --device cuda:99
run 0 --help
says out kernels

# --- detectors ---
small=(detectors --rows 60 --tests 20 --columns 12 --seconds 0.01 -j 1)
run 0 "${small[@]}"
for detector in mahalanobis ledoit_wolf knn; do says out "$detector "; done
run 0 "${small[@]}" --json
if [ "$(grep -c '"schema":"asd.bench.detectors/1"' "$work/out")" = 3 ]; then ok; else bad "not three lines of JSON"; fi
run 1 "${small[@]}" --python /nonexistent/python
says err "bench/peers/detectors.py: failed"
if python3 -c 'import numpy, scipy.linalg' 2>/dev/null; then
    run 0 "${small[@]}" --python python3
    says out 'scores within'
fi

printf '%d passed, %d failed\n' $passed $failed
[ $failed = 0 ]
