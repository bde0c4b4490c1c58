#!/usr/bin/env bash
# run_eval.sh - asd-eval omega, table and compare as a user calls them: output, exit codes, messages. Needs no data but
# what it makes; where the folder of shared real data is, the published 2022 results and tables are checked too.
set -euo pipefail
bin=${ASD_BIN:-build}
src=${ASD_SOURCE:-$(cd "$(dirname "$0")/.." && pwd)}
shared=${ASD_SHARED:-$src/../shared}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

failed=0
passed=0
run() { # run STATUS ARGS...: stdout and stderr go to $work/out and $work/err
    local want=$1 got=0
    shift
    "$bin/asd-eval" "$@" >"$work/out" 2>"$work/err" || got=$?
    if [ "$got" != "$want" ]; then
        echo "FAIL asd-eval $*: exit $got, want $want"
        sed 's/^/    /' "$work/err"
        failed=$((failed + 1))
        return
    fi
    if [ "$want" = 0 ] && [ ! -s "$work/out" ]; then
        echo "FAIL asd-eval $*: nothing on standard output"
        failed=$((failed + 1))
        return
    fi
    if [ "$want" != 0 ] && [ -s "$work/out" ] && [ "$want" != 5 ]; then
        echo "FAIL asd-eval $*: failed, but wrote to standard output"
        failed=$((failed + 1))
        return
    fi
    passed=$((passed + 1))
}
says() { # says FILE TEXT: the latest run's stdout (out) or stderr (err) holds TEXT
    if grep -qF -- "$2" "$work/$1"; then
        passed=$((passed + 1))
    else
        echo "FAIL standard $1 lacks: $2"
        sed 's/^/    /' "$work/$1"
        failed=$((failed + 1))
    fi
}
same() { # same FILE FILE
    if cmp -s "$1" "$2"; then
        passed=$((passed + 1))
    else
        echo "FAIL $1 and $2 differ"
        failed=$((failed + 1))
    fi
}

# Two machines of 40 clips; scores by a formula, anomalies shifted by $2.
make_system() { # make_system FOLDER SHIFT
    mkdir -p "$1"
    local machine
    for machine in fan valve; do
        awk -v shift="$2" -v first="$machine" 'BEGIN {
            x = first == "fan" ? 0.31 : 0.77
            for (t = 0; t < 2; ++t) for (a = 0; a < 2; ++a) for (i = 0; i < 10; ++i) {
                x = 3.9 * x * (1 - x)
                name = sprintf("section_00_%s_test_%s_%04d_spd_%d.wav", t ? "target" : "source",
                               a ? "anomaly" : "normal", i, i % 3)
                printf "%s,%.9f\n", name, x + a * shift
            } }' >"$1/anomaly_score_${machine}_section_00_test.csv"
        awk -F, '{ print $1 "," ($2 > 0.8) }' "$1/anomaly_score_${machine}_section_00_test.csv" \
            >"$1/decision_result_${machine}_section_00_test.csv"
    done
}
make_system "$work/a" 0.2
make_system "$work/b" 0.4

# --- help and usage ---
run 0 --help
says out "omega"
run 0 omega --help
says out "--official-csv"
run 2 omegas
says err 'did you mean "omega"?'
run 2
run 2 omega
run 2 omega "$work/a" --bootstrap many
run 2 omega "$work/a" --replicates 10
run 2 compare "$work/a"

# --- omega ---
run 0 omega "$work/a"
says out "harmonic mean"
says out "* costs most"
says out "precision"
run 0 omega "$work/a" --json
cp "$work/out" "$work/first.json"
says out '"schema": "asd.omega/1"'
run 0 omega "$work/a" --json -j 1
same "$work/out" "$work/first.json"
run 0 omega "$work/a" --bootstrap 0 --json
says out '"omega_ci": null'
run 0 omega "$work/a" --auc same-domain --cells 14 --level 0.9 --machine valve
says out "two a machine"
run 3 omega "$work/a" --machine gearbox
says err "no scores of machine gearbox"
run 3 omega "$work/nothing"
says err "$work/nothing"
"$bin/asd-eval" omega "$work/a" --json -o "$work/file.json" >"$work/out"
same "$work/file.json" "$work/first.json"
[ ! -s "$work/out" ]
mkdir -p "$work/run/scores"
cp -r "$work/a" "$work/run/scores/mse"
cp -r "$work/b" "$work/run/scores/maha"
run 0 omega "$work/run"
says out "maha"
run 0 omega "$work/run" --json
says out '"schema": "asd.omega-list/1"'
run 2 omega "$work/run" --official-csv "$work/official.csv"
run 0 omega "$work/a" --official-csv "$work/official.csv"
cp "$work/official.csv" "$work/out"
says out "section,AUC (all),AUC (source),AUC (target),pAUC,precision (source)"
says out "official score ci95,,"

# --- one row damaged: the result or the error, with the name of the row ---
row=section_00_target_test_normal_0003_spd_0.wav
file=anomaly_score_fan_section_00_test.csv
damage() { # damage STATUS MESSAGE SED-SCRIPT
    rm -rf "$work/d"
    cp -r "$work/a" "$work/d"
    sed -i "$3" "$work/d/$file"
    run "$1" omega "$work/d" --json
    if [ "$1" = 0 ]; then
        same "$work/out" "$work/first.json"
    else
        says err "$2"
    fi
}
damage 3 "$row" "/$row/d"                                  # removed: its decision has no score
damage 3 "$row" "/$row/p"                                  # doubled
damage 3 "$row" "s/target_test_normal_0003/target_test_normal_9999/" # renamed: the old name has lost its score
damage 3 "$row" "s/$row/unknown.wav/"
damage 3 "$row,nan" "s/$row,.*/$row,nan/"
damage 3 "$row" "s/$row,.*/$row/"                          # no second column
damage 3 "$row,inf" "s/$row,.*/$row,inf/"
damage 3 "empty line before row: $row" "/$row/i\\
"
damage 3 "file_name,anomaly_score" "1i file_name,anomaly_score"
damage 0 "" '$a\
'
damage 0 "" 's/$/\r/'
damage 0 "" '1{h;d};${p;x}'                                # another order
# without decisions only --data or --truth can tell that a row is gone; uneven groups are pointed out
rm -rf "$work/d" && cp -r "$work/a" "$work/d" && rm "$work/d"/decision_*
sed -i "/$row/d" "$work/d/$file"
run 0 omega "$work/d"
says err "fan section 00: 10 and 9 normal"
mkdir -p "$work/truth/ground_truth_data" "$work/truth/ground_truth_domain"
for machine in fan valve; do
    for what in data domain; do
        awk -F, -v what=$what '{ print $1 "," ($1 ~ (what == "data" ? "anomaly" : "target")) }' \
            "$work/a/anomaly_score_${machine}_section_00_test.csv" \
            >"$work/truth/ground_truth_$what/ground_truth_${machine}_section_00_test.csv"
    done
done
run 3 omega "$work/d" --truth "$work/truth"
says err "fan section 00: no score for $row (1 of 40 clips"
run 0 omega "$work/a" --truth "$work/truth" --json
same "$work/out" "$work/first.json"

for machine in fan valve; do
    mkdir -p "$work/data/$machine/test"
    cut -d, -f1 "$work/a/anomaly_score_${machine}_section_00_test.csv" | (cd "$work/data/$machine/test" && xargs touch)
done
run 0 omega "$work/a" --data "$work/data" --json
same "$work/out" "$work/first.json"
run 3 omega "$work/d" --data "$work/data"
says err "no score for the test clip $work/data/fan/test/$row"
rm "$work/data/valve/test/$row"
run 3 omega "$work/a" --data "$work/data"
says err "valve section 00: $row has a score but is no test clip"
run 0 omega "$work/a" --data "$work/data" --machine fan

# --- compare ---
run 0 compare "$work/a" "$work/b"
says out "B - A"
run 0 compare "$work/a" "$work/a" --json
says out '"delta": 0.0, "delta_ci": [0.0, 0.0], "p_delta_gt_0": 0.5'
run 0 compare "$work/a" "$work/b" --gate better
run 5 compare "$work/b" "$work/a" --gate better
run 5 compare "$work/b" "$work/a" --gate not-worse
run 0 compare "$work/a" "$work/a" --gate not-worse
run 2 compare "$work/a" "$work/b" --gate better --bootstrap 0
run 3 compare "$work/a" "$work/run"
says err "holds 2 systems, want one of them: maha, mse"
run 3 compare "$work/a" "$work/d"
says err "$row has a score in A only"

# --- table ---
printf 'machine,auc_source,auc_target,pauc\nfan,60,60,60\nvalve,60,60,60\n' >"$work/t.csv"
run 0 table "$work/t.csv"
says out "Omega 60.00"
run 0 table "$work/t.csv" --json
says out '"schema": "asd.table/1", "omega": 0.5999'
printf 'machine,auc\nfan,60\n' >"$work/t.csv"
run 3 table "$work/t.csv"
says err "want the header"

# --- submit ---
mkdir -p "$work/team"
for machine in BlowerDustCollector Sander SewingMachine ToothBrush ToyDrone; do
    awk -v first="$machine" 'BEGIN { x = 0.1 + length(first) / 40
        for (i = 0; i < 200; ++i) { x = 3.9 * x * (1 - x); printf "section_00_%04d.wav,%.9f\n", i, x } }' \
        >"$work/team/anomaly_score_${machine}_section_00_test.csv"
    awk -F, '{ print $1 "," ($2 > 0.8) }' "$work/team/anomaly_score_${machine}_section_00_test.csv" \
        >"$work/team/decision_result_${machine}_section_00_test.csv"
done
cp "$work/a/"*_fan_* "$work/team"
echo "%PDF-1.5" >"$work/report.pdf"
cd_bin=$(cd "$bin" && pwd)
run 2 submit "$work/team"
says err "0 --meta for 1 systems"
run 0 submit "$work/team" --form "$work/meta.yaml"
run 2 submit "$work/team" --form "$work/meta.yaml"
grep -q "^    fan:" "$work/meta.yaml"
zip=$work/Name_INST_task2.zip
run 5 submit "$work/team" --meta "$work/meta.yaml" --report "$work/report.pdf" -o "$zip"
says out "total_parameters is empty"
says out "results.development_dataset.ToyCar.pauc is missing"
[ ! -e "$zip" ]
sed -i 's/total_parameters: !!null/total_parameters: 269992/; s/\(auc_source\|auc_target\|pauc\): !!null/\1: 55.5/' "$work/meta.yaml"
run 5 submit "$work/team" --meta "$work/meta.yaml" -o "$zip"
says out "technical_report.pdf is missing"
run 0 submit "$work/team" --meta "$work/meta.yaml" --report "$work/report.pdf" -o "$zip" --dry-run
[ ! -e "$zip" ]
run 0 submit "$work/team" --meta "$work/meta.yaml" --report "$work/report.pdf" -o "$zip"
says out "written, in order"
run 2 submit "$work/team" --meta "$work/meta.yaml" --report "$work/report.pdf" -o "$zip"
says err "-f overwrites it"
cp "$zip" "$work/again.zip"
run 0 submit "$work/team" --meta "$work/meta.yaml" --report "$work/report.pdf" -o "$zip" -f
same "$zip" "$work/again.zip"
(cd "$work" && "$cd_bin/asd-eval" submit team --meta meta.yaml --report report.pdf -f >/dev/null) # default name
run 0 submit "$zip" --json
says out '"ok": true'
run 0 submit "$zip" -q
says out "the package is in order"
run 5 submit "$zip" --rows 100
head -c 2000 "$zip" >"$work/cut.zip"
run 3 submit "$work/cut.zip"
rm "$work/team/decision_result_Sander_section_00_test.csv"
run 5 submit "$work/team" --meta "$work/meta.yaml" --report "$work/report.pdf" -o "$zip" -f
says out "decision_result_Sander_section_00_test.csv is missing"
same "$zip" "$work/again.zip"

# --- real results ---
if [ -d "$shared/data/dcase2022-dev-baselines" ]; then
    run 0 omega "$shared/data/dcase2022-dev-baselines/ae" --json
    says out '"omega": 0.529074577037339'
    run 0 omega "$shared/data/dcase2022-dev-baselines/mobilenetv2" --json
    says out '"omega": 0.557054211723106'
    run 0 table "$shared/data/tables/KIST_ENS.csv"
    says out "Omega 68.97"
else
    echo "skipped: the folder of shared real data is not here"
fi

printf '%d passed, %d failed\n' $passed $failed
[ $failed = 0 ]
