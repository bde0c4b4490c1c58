#!/usr/bin/env bash
# run_kist.sh - KIST's three training-free systems from clips to Omega in their smoke form: embedded, scored, fused,
# evaluated, compared and audited; and an audit that fails, for a copy that normalises by the test clips.
set -euo pipefail
bin=${ASD_BIN:-build}
src=${ASD_SOURCE:-$(cd "$(dirname "$0")/.." && pwd)}
work=$(mktemp -d "${TMPDIR:-/tmp}/asd-kist-XXXXXX")
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
lines() { # lines NUMBER PATTERN: of the latest program's stdout
    if [ "$(grep -cE "$2" "$work/out")" = "$1" ]; then ok; else
        bad "not $1 lines match $2"
        sed 's/^/    /' "$work/out"
    fi
}

run 0 asd-data synth "$work/data" --machines fan,valve --train-source 24 --train-target 4 --test 2 --seconds 2
base="base boundary change density joint level residual"
declare -A more=([kist-ulicp]= [kist-ulicpds]=clean [kist-ulicpd]=difference)
for system in kist-ulicp kist-ulicpds kist-ulicpd; do
    recipe=$src/recipes/$system.yaml
    place=(--smoke --data "$work/data" --run "$work/$system")
    if [ $system = kist-ulicp ]; then
        run 3 asd-eval score "$recipe" "${place[@]}"
        says err "embed first with \`asd-embed"
        run 2 asd-train "$recipe" "${place[@]}"
        says err "trains nothing"
        run 4 asd-eval score "$recipe" "${place[@]}" --device cuda:99
        says err "--device cuda:99: "
    fi
    run 0 asd-embed "$recipe" "${place[@]}"
    run 0 asd-eval score "$recipe" "${place[@]}"
    check "$system: one folder a detector" test "$(ls "$work/$system/scores")" = \
        "$(printf '%s\n' $base ${more[$system]} fused | LC_ALL=C sort)"
    cp -r "$work/$system/scores" "$work/scores"
    touch "$work/$system/scores/base/.anomaly_score_fan_section_00_test.csv.tmp-1" # as a killed run leaves it
    OMP_NUM_THREADS=1 run 0 asd-eval score "$recipe" "${place[@]}"
    check "$system: scored again on one thread" diff -r "$work/scores" "$work/$system/scores"
    rm -r "$work/scores" "$work/$system/embed"
    run 0 asd-embed "$recipe" "${place[@]}" --batch 7
    mv "$work/$system/scores" "$work/scores"
    run 0 asd-eval score "$recipe" "${place[@]}"
    check "$system: embedded again in other batches" diff -r "$work/scores" "$work/$system/scores"
    rm -r "$work/scores"
    run 0 asd-eval omega "$work/$system/scores/fused" --auc same-domain --bootstrap 50 --json
    says out '"n_values": 6'
    run 0 asd-eval audit "$recipe" "${place[@]}" --alone 2
    lines 4 '^(names|labels|order|alone) +pass '
    check "$system: the audit cleans up" test ! -e "$work/$system/audit"
done
mkdir "$work/kist-ulicpd/scores/earlier"
run 0 asd-eval score "$src/recipes/kist-ulicpd.yaml" --smoke --data "$work/data" --run "$work/kist-ulicpd"
says err "kist-ulicpd/scores: earlier: scores of before"
run 0 asd-eval compare "$work/kist-ulicp/scores/fused" "$work/kist-ulicpds/scores/fused" --auc same-domain --bootstrap 50 --json
says out '"schema": "asd.compare/1"'

# --- streams of two runs of asd-embed ---
cp -r "$work/kist-ulicp" "$work/mixed"
place=(--smoke --data "$work/data" --run "$work/mixed")
run 0 asd-embed "$src/recipes/kist-ulicp.yaml" "${place[@]}" -f --seed 9 --set 'embed.streams=["far = tiny_beats(channel=far)"]'
run 3 asd-eval score "$src/recipes/kist-ulicp.yaml" "${place[@]}"
says err "streams near and far were not embedded together: their weights differ"
run 0 asd-data synth "$work/other" --machines fan,valve --train-source 24 --train-target 4 --test 2 --seconds 2 --seed 4
run 0 asd-embed "$src/recipes/kist-ulicp.yaml" --smoke --data "$work/other" --run "$work/mixed" -f --set 'embed.streams=["far = tiny_beats(channel=far)"]'
run 3 asd-eval score "$src/recipes/kist-ulicp.yaml" "${place[@]}"
says err "their audio differ"
place=(--smoke --data "$work/data" --run "$work/kist-ulicp")

# --- what the audit is for ---
run 3 asd-eval audit "$src/recipes/kist-ulicp.yaml" --smoke --data "$work/data" --run "$work/kist-ulicp" --seed 9
says err "the run was embedded in another way than this audit does: encoder.key: was"
printf 'base: %s\nname: leak\nscore: {normalise: z_test}\n' "$src/recipes/kist-ulicp.yaml" >"$work/leak.yaml"
place=(--smoke --data "$work/data" --run "$work/kist-ulicp")
run 5 asd-eval audit "$work/leak.yaml" "${place[@]}" --alone 2
says err "one clip at a time: base gives 4 of 4 clips another score"
lines 3 '^(names|labels|order) +pass '
lines 1 '^alone +FAIL '
lines 8 '^ +[a-z]+: 4 of 4 clips differ'
run 5 asd-eval audit "$work/leak.yaml" "${place[@]}" --alone 1 --cached --json
says out '"passed": false'
run 5 asd-eval audit "$work/leak.yaml" "${place[@]}" --alone 1 --cached --set 'score.fusion=[level=1]' \
    --set 'score.detectors=["level = level | mahalanobis(cov=ledoit_wolf)"]'
says err "level gives 2 of 2 clips another score" # not the fusion, whose name is before it
run 0 asd-eval audit "$work/leak.yaml" "${place[@]}" --alone 1 --set transductive=true
lines 1 '^alone +differs '
says out "the recipe is transductive"
# a run whose embeddings are not those of its clips: two test clips' files change places
folder=$work/data/dev_data/raw/fan/test
[ -d "$folder" ] || folder=$(find "$work/data" -type d -path '*fan/test')
mapfile -t clips < <(find "$folder" -name '*.wav' | LC_ALL=C sort | head -2)
cp "${clips[0]}" "$work/keep.wav"
cp "${clips[1]}" "${clips[0]}"
cp "$work/keep.wav" "${clips[1]}"
run 5 asd-eval audit "$src/recipes/kist-ulicp.yaml" "${place[@]}" --alone 1
lines 1 '^names +FAIL '

printf '%d passed, %d failed\n' $passed $failed
[ $failed = 0 ]
