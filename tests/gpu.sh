#!/usr/bin/env bash
# gpu.sh - check a CUDA machine: is every kernel right there, and how fast is it? Under nine minutes, one command.
#
#   tests/gpu.sh [options] OUT_FOLDER
#
#   --build DIR     the programs (default: the bundle's bin/, or build-bundle, build-cuda, build of the source tree)
#   --device NAME   cuda (default), cuda:N, or cpu: the same on the CPU backend, to try this script out
#   --parts LIST    of: info,ops,sanitize,kernels,hopper,train,peers (default: these, in this order), and encoders,
#                   detectors, which are a run of their own of at most eight minutes
#   --full          training at full size: every machine of the generator, 1,000 clips of 10 s, 100 epochs. With
#                   --parts train,peers: making the clips alone takes minutes
#   --budget S      seconds for everything (default 530); a part that finds no time left fails
#   --python NAME   the Python that may have PyTorch (default python3)
#   --list-tests    print the names of the test programs it runs, and end
#
#   info       asd-info; the card, its clocks and the versions go into every line of results
#   ops        the tests of every op and of the runtime: CUDA against the CPU, fp32 and bf16, replay of a captured step
#              against eager calls, twice for the same bits
#   sanitize   the smallest case of every op under compute-sanitizer's memcheck, racecheck, initcheck and synccheck
#   kernels    asd-bench kernels, fp32 and bf16, beside PyTorch if there is one
#   hopper     on compute capability 9.0: attention by wgmma through the cases of attention, and its times beside those of
#              the portable kernels
#   train      the baseline on generated clips, all machines at once: wall time and clips/s; scored, and its Omega
#   peers      the same network trained by PyTorch on the same card, one machine: clips/s and the ratio
#   encoders   BEATs, EAT and Dasheng, bf16, 132 clips of 10 s at once, beside PyTorch's; 16,800 wav files to HDF5
#              (5.4 GB in $TMPDIR)
#   detectors  364 machines of 1,000 x 768 at once: Mahalanobis (and its fit alone), Ledoit-Wolf, k-NN
#
# Left in OUT_FOLDER: gpu.jsonl (one line a part), kernels.jsonl (asd-bench's lines),
# portable.jsonl and hopper.jsonl (attention's lines by either), encoders.jsonl, pipeline.jsonl, detectors.jsonl, peers.jsonl, train.json (run.json of
# the training), info.json, table.txt (also printed last), log.txt. Exit code: 0 all parts passed or had nothing to run; 1 a part failed, or hung and was stopped;
# 2 wrong usage; 4 no CUDA device.
set -uo pipefail

# What the ops part runs: those of tests/test_*.c with a CUDA side. test_matmul is part of CUDA builds alone.
TESTS=(test_gpu test_gemm test_ops test_tokens test_logmel test_adam test_mahalanobis test_knn test_detect_device
       test_score_embeddings test_attention test_plan test_plan_cuda test_train_cuda test_info_gpu test_matmul)
# Seconds that each part may take; the sum stays under nine minutes.
declare -A LIMIT=([info]=15 [ops]=185 [sanitize]=60 [kernels]=120 [hopper]=30 [train]=75 [peers]=45
                  [encoders]=400 [detectors]=80)
declare -A FULL_LIMIT=([train]=420 [peers]=100)
PARTS=(info ops sanitize kernels hopper train peers)

here=$(cd "$(dirname "$0")" && pwd)
usage() {
    echo "gpu.sh: $*" >&2
    exit 2
}

build='' device=cuda parts=("${PARTS[@]}") full=0 python=python3 out='' budget=530
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
        exit 0
        ;;
    --list-tests)
        printf '%s\n' "${TESTS[@]}"
        exit 0
        ;;
    --full) full=1 ;;
    --build | --device | --parts | --python | --budget)
        [ $# -ge 2 ] || usage "$1 needs a value, see --help"
        case $1 in
        --build) build=$2 ;;
        --device) device=$2 ;;
        --parts) IFS=, read -r -a parts <<<"$2" ;;
        --python) python=$2 ;;
        --budget) budget=$2 ;;
        esac
        shift
        ;;
    -*) usage "unknown option $1; valid: --build DIR, --device NAME, --parts LIST, --full, --python NAME, --budget S, --list-tests" ;;
    *)
        [ -z "$out" ] || usage "one folder, not $out and $1"
        out=$1
        ;;
    esac
    shift
done
[ -n "$out" ] || usage "where to? usage: gpu.sh [options] OUT_FOLDER"
[[ $budget =~ ^[1-9][0-9]{0,4}$ ]] || usage "--budget $budget: want whole seconds"
[[ $device =~ ^(cpu|cuda|cuda:[0-9]+)$ ]] || usage "--device $device: want cuda, cuda:N or cpu"
for part in "${parts[@]}"; do
    [ -n "${LIMIT[$part]:-}" ] || usage "--parts: $part is none of ${PARTS[*]}"
done
if [ -z "$build" ]; then
    for build in "$here/../bin" "$here/../build-bundle" "$here/../build-cuda" "$here/../build"; do
        [ ! -x "$build/asd-info" ] || break
    done
fi
[ -x "$build/asd-info" ] || usage "no programs in $build; build first, or name the folder with --build"
bin=$(cd "$build" && pwd)
export ASD_BIN=$bin ASD_SOURCE
[ "$device" != cpu ] || export CUDA_VISIBLE_DEVICES= # the tests take a GPU where they find one
[[ $device != cuda:* ]] || export CUDA_VISIBLE_DEVICES=${device#cuda:}
ASD_SOURCE=$(cd "$here/.." && pwd)

# PyTorch's wheels bring CUDA's libraries: a machine that has them and no toolkit is served by them.
if [ -z "${VIRTUAL_ENV:-}" ] && prefix=$("$python" -c 'import sys; print(sys.prefix)' 2>/dev/null); then
    export VIRTUAL_ENV=$prefix
fi
mkdir -p "$out" || exit 1
out=$(cd "$out" && pwd)
log=$out/log.txt
work=$(mktemp -d)
sampler=''
sweep() {
    [ -z "$sampler" ] || kill "$sampler" 2>/dev/null
    rm -rf "$work"
}
trap sweep EXIT
trap 'exit 130' INT TERM
: >"$log"
: >"$out/gpu.jsonl"
rm -f "$out"/{encoders.jsonl,pipeline.jsonl,detectors.jsonl,kernels.jsonl,portable.jsonl,hopper.jsonl,peers.jsonl,train.json,table.txt}
backend=${device%%:*} # cuda:N is device 0 of what the programs see

# --- the machine ---
if ! timeout 30 "$bin/asd-info" --json >"$out/info.json" 2>>"$log"; then
    tail -n 5 "$log" >&2
    echo "gpu.sh: asd-info does not run here, see $log" >&2
    exit 1
fi
fact() { sed -n "s/^ *\"$1\": \"\{0,1\}\([^\"]*[^\",]\)\"\{0,1\},\{0,1\}$/\1/p" "$out/info.json" | head -n 1; }
cuda_fact() { sed -n '/^  "cuda": {/,/^  }/p' "$out/info.json" | sed -n "s/^ *\"$1\": \"\{0,1\}\([^\"]*[^\",]\)\"\{0,1\},\{0,1\}$/\1/p" | head -n 1; }
if [ "$device" != cpu ] && [ "$(cuda_fact devices)" = 0 ]; then
    echo "gpu.sh: no CUDA device: $(cuda_fact note). (--device cpu tries this script without one.)" >&2
    exit 4
fi
commit=$(fact commit)
if [ "$device" = cpu ]; then
    card=$(fact processor)
else
    card=$(cuda_fact name)
fi

quote() { # text as a JSON string, null when there is none
    [ -n "$1" ] || { printf null && return; }
    local text=${1//\\/\\\\}
    text=${text//\"/\\\"}
    printf '"%s"' "${text//[[:cntrl:]]/ }"
}

smi() { nvidia-smi --query-gpu="$1" --format=csv,noheader,nounits 2>/dev/null | head -n 1; }
# Clocks while a part runs: a sample every second, lowest and highest in its line.
start_clocks() {
    : >"$work/clocks"
    sampler=''
    if [ "$device" != cpu ] && command -v nvidia-smi >/dev/null; then
        nvidia-smi --query-gpu=clocks.sm,clocks.mem,power.draw,temperature.gpu --format=csv,noheader,nounits -l 1 \
            >"$work/clocks" 2>/dev/null &
        sampler=$!
    fi
}
stop_clocks() { # prints "clocks": {...}
    if [ -n "$sampler" ]; then
        kill "$sampler" 2>/dev/null
        wait "$sampler" 2>/dev/null
        sampler=''
    fi
    awk -F ', *' 'NF == 4 && $1 + 0 > 0 {
            for (i = 1; i <= 4; ++i) { if (!n || $i < low[i]) low[i] = $i + 0; if (!n || $i > high[i]) high[i] = $i + 0 }
            ++n
        }
        END {
            if (!n) { printf "\"clocks\": null"; exit }
            printf "\"clocks\": {\"sm_mhz\": [%g, %g], \"memory_mhz\": [%g, %g], \"power_w\": [%g, %g], ", low[1], high[1],
                low[2], high[2], low[3], high[3]
            printf "\"celsius\": [%g, %g]}", low[4], high[4]
        }' "$work/clocks"
}
machine="\"device\": $(quote "$card"), \"driver\": $(quote "$(cuda_fact driver)"), \"driver_build\": $(quote "$(smi driver_version)"), \
\"runtime\": $(quote "$(cuda_fact runtime)"), \"libraries\": $(quote "$(cuda_fact libraries)"), \
\"max_sm_mhz\": $(quote "$(smi clocks.max.sm)"), \"max_memory_mhz\": $(quote "$(smi clocks.max.mem)"), \
\"processor\": $(quote "$(fact processor)"), \"asd\": $(quote "$(fact version)"), \"commit\": $(quote "$commit")"

# --- the parts: each says what it did in $detail and fails or not ---
detail=''
run() { # run WHAT COMMAND...: into the log; the part's time that is left is its limit
    local what=$1 left=$((deadline - SECONDS)) status=0
    shift
    [ $left -gt 0 ] || left=1
    printf '\n== %s: %s ==\n' "$what" "$*" >>"$log"
    timeout -s "${stop_by:-TERM}" -k 8 "$left" "$@" >"$work/output" 2>&1 </dev/null || status=$?
    cat "$work/output" >>"$log"
    [ $status != 124 ] && [ $status != 137 ] || detail+="${detail:+; }$what: stopped after $left s"
    return $status
}
count() { grep -cE "$1" "$work/output"; }

part_info() {
    run info "$bin/asd-info" || return 1
    [ "$device" = cpu ] || run nvidia-smi nvidia-smi
    detail="$card"
}

part_ops() {
    local test status=0 passed=0 failed=0 on_gpu=0 ok cases
    for test in "${TESTS[@]}"; do
        cases=()
        [ $test != test_ops ] || [ "$device" = cpu ] || cases=('ops/*/cuda*') # the CPU's own need no GPU to be run
        if [ ! -x "$bin/$test" ]; then
            if [ $test != test_matmul ] || [ "$device" != cpu ]; then
                status=1
                detail+="${detail:+; }no $test"
            fi
            continue
        fi
        run "$test" "$bin/$test" "${cases[@]}" || { status=1 && detail+="${detail:+; }$test failed"; }
        ok=$(count '^\[       OK \]')
        passed=$((passed + ok))
        failed=$((failed + $(count '^\[  FAILED  \] [^0-9]') / 2)) # each is named when it fails and at the end
        on_gpu=$((on_gpu + $(count '^\[       OK \] ops/[a-z0-9_]+/cuda')))
    done
    # A build without CUDA, or tests that see no device, must not look like a pass.
    if [ "$device" != cpu ] && [ $on_gpu = 0 ]; then
        status=1
        detail+="${detail:+; }no case of an op ran on CUDA"
    fi
    detail="$passed cases passed, $on_gpu of them ops on CUDA, $failed failed${detail:+; $detail}"
    return $status
}

part_sanitize() {
    local tool status=0
    [ "$device" != cpu ] || { detail="nothing to do on the CPU" && return 77; }
    command -v compute-sanitizer >/dev/null || { detail="no compute-sanitizer on this machine" && return 77; }
    for tool in memcheck racecheck initcheck synccheck; do
        if ! run "$tool" env ASD_TEST_SMALL=1 compute-sanitizer --tool "$tool" --error-exitcode 97 \
            --launch-timeout 60 "$bin/test_ops"; then
            detail+="${detail:+; }$tool: $(grep -m 1 -E 'ERROR SUMMARY|RACECHECK SUMMARY' "$work/output" || echo failed)"
            status=1
        fi
    done
    [ $status = 1 ] || detail="memcheck, racecheck, initcheck, synccheck: no finding"
    return $status
}

part_kernels() {
    local precision status=0 all=$deadline code
    for precision in fp32 bf16; do
        [ $precision = bf16 ] || deadline=$((SECONDS + (all - SECONDS) / 2)) # half of the time each
        if [ "$device" = cpu ]; then
            [ $precision = fp32 ] || continue
            deadline=$all
        fi
        code=0
        # Stopped by an interrupt it keeps the lines it has, and says so by 75.
        stop_by=INT run "kernels $precision" "$bin/asd-bench" kernels --device "$backend" --precision $precision --min-time 0.1 \
            --warm-up 0.05 --cold 10 --python "$python" -o "$work/$precision.jsonl" || code=$?
        deadline=$all
        [[ $code =~ ^(0|75|124)$ ]] && [ -s "$work/$precision.jsonl" ] || status=1
        [ ! -s "$work/$precision.jsonl" ] || cat "$work/$precision.jsonl" >>"$out/kernels.jsonl"
        printf '%s\n' "$precision" >>"$work/kernels.txt"
        grep -v '^asd-bench:' "$work/output" >>"$work/kernels.txt"
    done
    detail="$(grep -c '"what": *"kernel"' "$out/kernels.jsonl" 2>/dev/null) lines in kernels.jsonl${detail:+; $detail}"
    return $status
}

part_hopper() {
    local test method status=0
    [ "$(cuda_fact compute_capability)" = 9.0 ] && [ "$device" != cpu ] ||
        { detail="no device of compute capability 9.0" && return 77; }
    for test in test_ops test_attention; do # where nothing else is asked for, attention is by wgmma
        run "$test" env ASD_ATTENTION=hopper "$bin/$test" '*attention/*' || { status=1 && detail+="${detail:+; }$test failed"; }
    done
    for method in portable hopper; do
        run "kernels $method" env ASD_ATTENTION=$method "$bin/asd-bench" kernels --device cuda --precision bf16 --op attention --alone \
            --min-time 0.1 --warm-up 0.05 --cold 10 -o "$out/$method.jsonl" || { status=1 && detail+="${detail:+; }no times of $method"; }
        grep -v '^asd-bench:' "$work/output" >>"$work/kernels.txt"
    done
    run "compare" "$bin/asd-bench" compare "$out/portable.jsonl" "$out/hopper.jsonl" || [ $? = 5 ] || status=1 # 5: something is slower
    cat "$work/output" >>"$work/kernels.txt"
    detail="wgmma beside mma: $(count ' faster') lines faster, $(count ' slower') slower${detail:+; $detail}"
    return $status
}

training_set() { # once, for the parts train and peers
    data=$work/data
    [ ! -d "$data" ] || return 0
    local size=(--train-source 95 --train-target 5 --test 5)
    if [ $full = 1 ]; then
        size=()
    elif [ "$device" = cpu ]; then
        size=(--machines "fan,valve" --train-source 18 --train-target 2 --test 2 --seconds 2)
    fi
    run "clips" "$bin/asd-data" synth "$data" -q "${size[@]}"
}

epochs() {
    if [ "$device" = cpu ]; then
        echo 2
    else
        echo $((full ? 100 : 20))
    fi
}
number() { grep -o "\"$1\": *[-+0-9.e]*" "$2" | tail -n 1 | sed 's/.*: *//'; } # the last of that key

part_train() {
    local began status=0 clips seconds loop
    training_set || { detail+="${detail:+; }no clips" && return 1; }
    began=$(date +%s.%N)
    run "train" "$bin/asd-train" dcase-baseline --data "$data" --run "$work/run" --device "$backend" \
        --set "train.epochs=$(epochs)" || return 1
    seconds=$(awk -v a="$began" -v b="$(date +%s.%N)" 'BEGIN { printf "%.2f", b - a }')
    clips=$(find "$data" -path '*/train/*.wav' | wc -l)
    loop=$(number seconds "$work/run/log/metrics.jsonl")
    clips_per_s=$(awk -v n=$((clips * $(epochs))) -v s="$loop" 'BEGIN { printf "%.0f", n / s }')
    detail="$clips clips, $(epochs) epochs: $seconds s, $loop s of it in epochs, $clips_per_s clips/s"
    extra=", \"clips\": $clips, \"epochs\": $(epochs), \"train_seconds\": $seconds, \"loop_seconds\": $loop, \"clips_per_s\": $clips_per_s"
    cp "$work/run/run.json" "$out/train.json"
    run "score" "$bin/asd-eval" score dcase-baseline --data "$data" --run "$work/run" --device "$backend" \
        --set "train.epochs=$(epochs)" || return 1
    run "omega" "$bin/asd-eval" omega "$work/run/scores/mse" --bootstrap 0 || return 1
    detail+=", $(grep -m 1 -oE '^Omega [0-9.]+' "$work/output")" || status=1
    return $status
}

part_peers() {
    "$python" -c 'import torch, numpy' 2>/dev/null || { detail="no PyTorch in $python" && return 77; }
    [ "$device" = cpu ] || "$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null ||
        { detail="PyTorch of $python sees no CUDA device" && return 77; }
    local n=$((full ? 1000 : 100)) form loop rate all=$deadline
    [ "$device" != cpu ] || n=20
    for form in eager compile; do # random features: the training loop alone, as loop_seconds is
        [ $form = compile ] || deadline=$((SECONDS + (all - SECONDS) / 2))
        if run "peer $form" "$python" "$ASD_SOURCE/bench/peers/train_autoencoder.py" --device "$backend" --form $form \
            --clips $n --epochs 5; then
            grep '^{' "$work/output" >>"$out/peers.jsonl"
            loop=$(grep '"what": "train"' "$work/output" >"$work/line"; number seconds "$work/line")
            rate=$(awk -v n=$((n * 5)) -v s="$loop" 'BEGIN { printf "%.0f", n / s }')
            detail+="${detail:+, }$form $rate clips/s"
            [ -z "${clips_per_s:-}" ] || detail+=" (asd-train $(awk -v a="$clips_per_s" -v b="$rate" 'BEGIN { printf "%.1f", a / b }') x)"
        fi
        deadline=$all
    done
    [ -s "$out/peers.jsonl" ]
}

part_encoders() {
    local name status=0 encoders=(beats eat dasheng) how=(--precision bf16 --batch 132 --calls 10) clips=16800
    [ "$device" != cpu ] || { encoders=(tiny_beats tiny_dasheng) how=(--seconds 1 --batch 2 --calls 2) clips=6; }
    for name in "${encoders[@]}"; do
        if run "$name" "$bin/asd-bench" encoder --encoder $name --device "$backend" "${how[@]}" --python "$python" \
            --json -o "$work/line"; then
            cat "$work/line" >>"$out/encoders.jsonl"
            detail+="${detail:+, }$name $(printf '%.0f' "$(number clips_per_s "$work/line")") clips/s"
            ! grep -q '"ratio"' "$work/line" || detail+=" ($(printf '%.2f' "$(number ratio "$work/line")") x PyTorch)"
        else
            status=1
            detail+="${detail:+; }$name failed"
        fi
    done
    how=(--precision bf16 --batch 132)
    [ "$device" != cpu ] || how=(--seconds 1 --batch 2)
    run pipeline "$bin/asd-bench" pipeline --encoder "${encoders[0]}" --device "$backend" "${how[@]}" --clips $clips --rounds 2 \
        -o "$out/pipeline.jsonl" || { status=1 && detail+="${detail:+; }pipeline failed"; }
    cat "$work/output" >>"$work/kernels.txt"
    return $status
}

part_detectors() {
    local size=(--machines 364)
    [ "$device" != cpu ] || size=(--machines 2 --rows 60 --tests 20 --columns 12 --seconds 0.05)
    run detectors "$bin/asd-bench" detectors --device "$backend" "${size[@]}" --json || return 1
    grep '^{' "$work/output" >"$out/detectors.jsonl"
    detail="$(grep -c . "$out/detectors.jsonl") lines in detectors.jsonl"
    cat "$out/detectors.jsonl" >>"$work/kernels.txt"
}

# --- run them ---
failed=0
header=$(printf '%-10s %-8s %8s  %s' part result seconds 'what')
echo "$header" >"$work/table"
for part in "${parts[@]}"; do
    limit=${LIMIT[$part]}
    [ $full = 0 ] || limit=${FULL_LIMIT[$part]:-$limit}
    [ $limit -le $((budget - SECONDS)) ] || limit=$((budget - SECONDS))
    printf 'gpu.sh: %s (at most %d s)\n' "$part" $limit >&2
    began=$SECONDS deadline=$((SECONDS + limit)) detail='' extra='' result=passed status=0
    start_clocks
    if [ $limit -lt 5 ]; then
        detail="no time left of $budget s"
        status=1
    else
        "part_$part" || status=$?
    fi
    clocks=$(stop_clocks)
    case $status in
    0) ;;
    77) result=nothing ;;
    *)
        result=FAILED
        failed=1
        ;;
    esac
    printf '%-10s %-8s %8d  %s\n' "$part" $result $((SECONDS - began)) "$detail" >>"$work/table"
    printf '{"what": "gpu/%s", "date": "%s", "result": "%s", "seconds": %d, "detail": %s%s, %s, %s}\n' "$part" \
        "$(date -u +%Y-%m-%dT%H:%M:%SZ)" $result $((SECONDS - began)) "$(quote "$detail")" "$extra" "$clocks" "$machine" \
        >>"$out/gpu.jsonl"
done

[ ! -s "$work/kernels.txt" ] || cat "$work/kernels.txt"
{
    printf '%s, commit %s\n' "$card" "$commit"
    [ "$device" = cpu ] || printf 'driver %s, runtime %s, %s\n' "$(cuda_fact driver)" "$(cuda_fact runtime)" "$(cuda_fact libraries)"
    cat "$work/table"
} | tee "$out/table.txt"
exit $failed
