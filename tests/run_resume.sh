#!/usr/bin/env bash
# run_resume.sh - a run of asd-train killed, stopped, starved of disk and disturbed in every way ends with the bits of an
# undisturbed one, or says what is wrong with the right exit code.
set -euo pipefail
bin=${ASD_BIN:-build}
src=${ASD_SOURCE:-$(cd "$(dirname "$0")/.." && pwd)}
work=$(mktemp -d "${TMPDIR:-/tmp}/asd-resume-XXXXXX")
trap 'jobs -p | xargs -r kill -9 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
export OMP_NUM_THREADS=2
RANDOM=13711

source "$(dirname "$0")/checks.sh"
says() { # says TEXT: the latest train's stderr holds TEXT
    if grep -qF -- "$1" "$work/err"; then ok; else
        bad "standard error lacks: $1"
        sed 's/^/    /' "$work/err"
    fi
}

# --- data and a recipe of seconds: two machines, valve with fewer clips and so fewer steps ---
"$bin/asd-data" synth "$work/data" --machines fan,valve --train-source 24 --train-target 4 --test 2 --seconds 1 >/dev/null 2>&1
rm "$work"/data/dev_data/raw/valve/train/*source*00{16,17,18,19,20,21,22,23}_*
cat >"$work/tiny.yaml" <<EOF
base: $src/recipes/dcase-baseline.yaml
name: tiny
front_end: {n_fft: 256, hop_samples: 128, n_mels: 16}
model: {hidden: 24, depth: 2, code: 4}
train: {epochs: 6, batch: 64, log_every_steps: 1, ckpt_every_s: 0, ckpt_every_steps: 20}
EOF

start() { # start RUN ARGS...: asd-train in the background, its process in $pid
    local run=$1
    shift
    "$bin/asd-train" "$work/tiny.yaml" --data "$work/data" --run "$run" "$@" >"$work/out" 2>"$work/err" &
    pid=$!
}
ends() { # ends STATUS TEXT: waits for $pid
    local got=0
    wait "$pid" || got=$?
    if [ "$got" = "$1" ]; then ok; else
        bad "$2: exit $got, want $1"
        sed 's/^/    /' "$work/err"
    fi
}
train() { # train STATUS RUN ARGS...
    local want=$1
    shift
    start "$@"
    ends "$want" "asd-train --run $*"
}
until_file() { # until_file PATTERN: a file like this exists, or $pid has ended
    while ! compgen -G "$1" >/dev/null && kill -0 "$pid" 2>/dev/null; do sleep 0.002; done
}
kill_now() {
    kill -9 "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}
state_is() { grep -qF "\"state\": \"$2\"" "$1/run.json"; }
score() { # score RUN ARGS...
    local run=$1
    shift
    rm -rf "$run/scores"
    "$bin/asd-eval" score "$work/tiny.yaml" --data "$work/data" --run "$run" "$@" >"$work/out" 2>"$work/err" ||
        bad "asd-eval score --run $run: $(cat "$work/err")"
}
# metrics without the two fields that are times
steps_of() { sed -E 's/"(clips_per_s|seconds)": [^,}]*,? ?//g' "$1/log/metrics.jsonl"; }
same_run() { # same_run RUN TEXT: equal to $work/whole in weights, optimiser, metrics and, once scored, scores
    local file
    check "$2: state" state_is "$1" "done"
    for file in ckpt/last/model.safetensors ckpt/last/optim.safetensors; do
        check "$2" cmp -s "$work/whole/$file" "$1/$file"
    done
    check "$2: each step once, in order" cmp -s <(steps_of "$work/whole") <(steps_of "$1")
    check "$2: nothing left over" test -z "$(find "$1" -name '*tmp*')"
    score "$1"
    check "$2: scores" diff -r "$work/whole/scores" "$1/scores"
}

# --- undisturbed ---
began=$(date +%s%N)
train 0 "$work/whole"
took_ms=$((($(date +%s%N) - began) / 1000000))
check "stdout is the run folder" test "$(cat "$work/out")" = "$work/whole"
steps=$(grep -c '"machine": "fan"' "$work/whole/log/metrics.jsonl")
check "fan has more steps than valve" test "$steps" -gt "$(grep -c '"machine": "valve"' "$work/whole/log/metrics.jsonl")"
check "steps are counted from 1 without a gap" cmp -s <(seq "$steps") \
    <(grep '"machine": "fan"' "$work/whole/log/metrics.jsonl" | sed -E 's/.*"step": ([0-9]+),.*/\1/')
score "$work/whole"
check "ckpt_keep" test "$(ls "$work/whole/ckpt" | grep -c '^step-')" = 2

# done is done: at once, and nothing is touched
cp -r "$work/whole/ckpt" "$work/before"
train 0 "$work/whole"
says "done already"
check "a second start changes nothing" diff -r "$work/before" "$work/whole/ckpt"
train 0 "$work/whole" --set train.log_every_steps=7 --set score.detectors=[mse] # decide no weights
train 2 "$work/whole" --set train.lr=0.01
says "another configuration"
train 2 "$work/whole" --seed 1
check "still done" state_is "$work/whole" "done"

# --- killed at random moments, and while a checkpoint is written ---
kills=0
in_checkpoint=0
seen=.tmp-step-3-1
run=$work/killed
mkdir -p "$run/ckpt/.tmp-step-3-1"
: >"$run/.run.json.tmp-1" # as a kill in these moments leaves it
: >"$run/ckpt/.tmp-step-3-1/.model.safetensors.tmp-1"
while [ $kills -lt 14 ] && { [ ! -f "$run/run.json" ] || ! state_is "$run" "done"; }; do
    if [ $((kills % 2)) = 0 ]; then
        start "$run" -j $((1 + kills % 3))
        sleep "$(printf '0.%03d' $((RANDOM % (took_ms < 1600 ? took_ms * 2 / 3 : 950))))"
    else
        rm -rf "$run"/ckpt/.tmp-step-*
        start "$run" -j $((1 + kills % 3)) --set train.ckpt_every_steps=5
        until_file "$run/ckpt/.tmp-step-*"
    fi
    kill_now
    left=$(ls -A "$run/ckpt" 2>/dev/null | grep '^\.tmp-step' || true)
    if [ -n "$left" ] && [ "$left" != "$seen" ]; then in_checkpoint=$((in_checkpoint + 1)); fi
    seen=$left
    kills=$((kills + 1))
done
check "some kills hit a checkpoint being written ($in_checkpoint of $kills)" test $in_checkpoint -gt 0
train 0 "$run"
echo "killed $kills times, $in_checkpoint of them while a checkpoint was written"
same_run "$run" "killed"

# --- lines behind the checkpoint, and a checkpoint without a line since the start ---
quiet=(--set train.log_every_steps=1000000 --set train.batch=2 --set train.epochs=1 --set train.ckpt_every_steps=100)
train 0 "$work/quiet" "${quiet[@]}"
run=$work/quiet-killed
for _ in 1 2 3 4 5; do # a busy machine may let it end before anybody looks
    rm -rf "$run"
    start "$run" "${quiet[@]}"
    until_file "$run/ckpt/last"
    kill_now
    ! state_is "$run" "done" || continue
    break
done
check "killed after its first checkpoint" state_is "$run" "running"
newest=$(cd "$run/ckpt" && printf '%s\n' step-* | sort -V | tail -n 1) # it counts, "last" may not have come to it
printf '{"step": %d}\n{"step": %d, "lo' $((${newest#step-} + 1)) $((${newest#step-} + 2)) >>"$run/log/metrics.jsonl"
start "$run" "${quiet[@]}"
until_file "$run/ckpt/step-$((${newest#step-} + 300))"
kill_now
train 0 "$run" "${quiet[@]}"
check "metrics of a run that was silent between two kills" cmp -s <(steps_of "$work/quiet") <(steps_of "$run")
check "its weights" cmp -s "$work/quiet/ckpt/last/model.safetensors" "$run/ckpt/last/model.safetensors"

# --- asked to stop ---
run=$work/stopped
for signal in TERM USR1 INT; do
    rm -rf "$run/ckpt/"step-*0 # so that the next one is this start's
    start "$run"
    until_file "$run/ckpt/step-*0"
    kill -$signal "$pid" 2>/dev/null || true
    ends 75 "SIG$signal"
    says "SIG$signal"
    check "SIG$signal" state_is "$run" "stopped"
    check "SIG$signal: a checkpoint" test -f "$run/ckpt/last/state.json"
done
"$bin/asd-eval" score "$work/tiny.yaml" --data "$work/data" --run "$run" >"$work/out" 2>"$work/err" && bad "scored a stopped run"
says "training is not done"
cp -r "$run" "$work/half"
train 0 "$run"
same_run "$run" "stopped three times"

half() { # half NAME: a copy of the run that was stopped halfway, in $run
    run=$work/$1
    cp -r "$work/half" "$run"
}

# --- the data changed under a run that is not done ---
fan=$work/data/dev_data/raw/fan/train
clip=$fan/section_00_source_train_normal_0003_spd_1.wav
half changed
cp "$clip" "$work/clip"
printf '\001' | dd of="$clip" bs=1 seek=2000 conv=notrunc status=none
train 3 "$run"
says "training clips of fan.section_00 have changed"
mv "$clip" "$work/other"
train 3 "$run"
cp "$work/clip" "$clip"
mv "$clip" "$fan/section_00_source_train_normal_0003_spd_2.wav" # an attribute is not trained on
train 0 "$run"
same_run "$run" "changed and restored"
mv "$fan/section_00_source_train_normal_0003_spd_2.wav" "$clip"
half relabelled
last=$fan/section_00_source_train_normal_0023_spd_3.wav
mv "$last" "$fan/section_00_target_train_normal_0000_a.wav" # the order of clips stays, a domain does not
train 3 "$run"
says "training clips of fan.section_00 have changed"
mv "$fan/section_00_target_train_normal_0000_a.wav" "$last"

# --- files of the run folder damaged ---
half damaged
: >"$run/log/metrics.jsonl"
train 3 "$run"
says "metrics.jsonl: 0 bytes"
cp "$work/half/log/metrics.jsonl" "$run/log/"
printf '{' >"$run/run.json"
train 3 "$run"
says "run.json:1"
cp "$work/half/run.json" "$run/"
for file in model.safetensors optim.safetensors state.json; do
    truncate -s -1 "$run/ckpt/last/$file"
    train 3 "$run"
    says "$file"
    cp "$work/half/ckpt/last/$file" "$run/ckpt/last/"
done
ln -sfn step-999999 "$run/ckpt/last" # a link that a crash left dangling: the newest checkpoint counts
train 0 "$run"
same_run "$run" "damaged and restored"

# --- two trainers in one folder ---
half twice
exec 8>"$run/.lock"
flock 8
train 2 "$run"
says "another asd-train is working in this folder"
exec 8>&-

# --- no room on the disk: the old checkpoint stays whole ---
half full
kilobytes=$(($(stat -L -c %s "$run/ckpt/last/model.safetensors") / 2048))
cp -rL "$run/ckpt/last" "$work/last"
link=$(readlink "$run/ckpt/last")
got=0
(
    trap '' XFSZ # then a write fails, as on a full disk, instead of a signal
    ulimit -f "$kilobytes"
    exec "$bin/asd-train" "$work/tiny.yaml" --data "$work/data" --run "$run" --set train.log_every_steps=1000
) >"$work/out" 2>"$work/err" || got=$?
check "a full disk is exit 1, not $got" test "$got" = 1
# whichever reaches the limit first: how long the log is depends on when the run was stopped
check "the file is named" grep -qE '(model\.safetensors|metrics\.jsonl): cannot write' "$work/err"
check "the old checkpoint stays" diff -r "$work/last" "$run/ckpt/$link"
check "last" test "$(readlink "$run/ckpt/last")" = "$link"
check "no half checkpoint fills the disk" test -z "$(find "$run/ckpt" -name '.tmp*')"
train 0 "$run"
same_run "$run" "after a full disk"

# --- threads and company ---
for threads in 1 3; do
    run=$work/threads-$threads
    OMP_NUM_THREADS=$threads train 0 "$run"
    OMP_NUM_THREADS=$threads same_run "$run" "OMP_NUM_THREADS=$threads"
done
train 0 "$work/j" -j 1
same_run "$work/j" "-j 1"
for machine in fan valve; do
    run=$work/alone-$machine
    train 0 "$run" --set "data.machines=[$machine]"
    score "$run" --set "data.machines=[$machine]"
    check "$machine alone: metrics" cmp -s <(steps_of "$work/whole" | grep "\"$machine\"") <(steps_of "$run")
    for file in "$run"/scores/*/*.csv; do
        check "$machine alone: scores" cmp -s "$file" "$work/whole${file#"$run"}"
    done
    check "$machine alone: four score files" test "$(ls "$run"/scores/*/*.csv | wc -l)" = 4
done

printf '%d passed, %d failed\n' $passed $failed
[ $failed = 0 ]
