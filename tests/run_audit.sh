#!/usr/bin/env bash
# run_audit.sh - asd-eval audit: passes for recipes whose scores come from one clip's sound alone, and names the detector
# of one that looks at the other test clips.
set -euo pipefail
bin=${ASD_BIN:-build}
src=${ASD_SOURCE:-$(cd "$(dirname "$0")/.." && pwd)}
work=$(mktemp -d "${TMPDIR:-/tmp}/asd-audit-XXXXXX")
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=2

source "$(dirname "$0")/checks.sh"
run() { # run STATUS PROGRAM ARGS...
    local want=$1 got=0
    shift
    "$bin"/"$@" >"$work/out" 2>"$work/err" || got=$?
    if [ "$got" = "$want" ]; then ok; else
        bad "$*: exit $got, want $want"
        sed 's/^/    /' "$work/err"
    fi
}
all_pass() { # the latest audit's four lines
    if [ "$(grep -cE '^(names|labels|order|alone) +pass ' "$work/out")" = 4 ]; then ok; else
        bad "not four checks passed"
        sed 's/^/    /' "$work/out"
    fi
}

run 0 asd-data synth "$work/data" --machines fan,valve --train-source 24 --train-target 4 --test 2 --seconds 1

# --- an autoencoder ---
cat >"$work/tiny.yaml" <<EOF
base: $src/recipes/dcase-baseline.yaml
name: tiny
front_end: {n_fft: 256, hop_samples: 128, n_mels: 16}
model: {hidden: 24, depth: 2, code: 4}
train: {epochs: 2, batch: 64, log_every_steps: 100, ckpt_every_s: 0}
EOF
run 0 asd-train "$work/tiny.yaml" --data "$work/data" --run "$work/ae"
run 0 asd-eval score "$work/tiny.yaml" --data "$work/data" --run "$work/ae"
find "$work/ae" -type f | LC_ALL=C sort | xargs md5sum >"$work/before"
run 0 asd-eval audit "$work/tiny.yaml" --data "$work/data" --run "$work/ae" --alone 2
[ "$(grep -c "on the CPU:" "$work/err")" -le 1 ] || bad "audit: says more than once why the CPU computes"
all_pass
find "$work/ae" -type f | LC_ALL=C sort | xargs md5sum >"$work/after"
if cmp -s "$work/before" "$work/after"; then ok; else bad "the audit left or changed files in the run"; fi
mkdir -p "$work/mine/labels" "$work/mine/names/data"
run 0 asd-eval audit "$work/tiny.yaml" --data "$work/data" --run "$work/ae" --alone 1 --clips 3 --json --work "$work/mine"
check "the audit leaves what lies in --work" test "$(cd "$work/mine" && find . | LC_ALL=C sort | tr '\n' ' ')" = \
    ". ./labels ./names ./names/data "
says out '"passed": true'
says out '"check": "labels"'
run 2 asd-eval audit "$work/tiny.yaml" --run "$work/ae"
says err "--data DIR is missing"
run 3 asd-eval audit "$work/tiny.yaml" --data "$work/data" --run "$work/nowhere"

printf '%d passed, %d failed\n' $passed $failed
[ $failed = 0 ]
