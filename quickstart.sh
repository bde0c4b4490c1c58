#!/usr/bin/env bash
# quickstart.sh - from a fresh clone to a table of Omega: installs what is missing, builds, makes a small data set of
# machine sounds, trains the DCASE baseline on it, scores, evaluates, writes a report. No GPU, no data, ten minutes.
#
#   ./quickstart.sh                 the data set is synthetic, two microphones, with known faults
#   ./quickstart.sh --data DIR      your DCASE folder (it holds dev_data/raw/MACHINE, or machine folders)
#
#   --run DIR       where training, scores and report go (default runs/quickstart; with --data: runs/quickstart-NAME)
#   --epochs N      passes over the training clips (default 15; the official baseline has 100)
#   -h, --help      this text
#
# Started again it goes on where it was; what is done is not done twice.
set -euo pipefail
from=$PWD # relative paths in options are the caller's
cd "$(dirname "$0")"

die() {
    printf 'quickstart: %s\n' "$*" >&2
    exit "${code:-1}"
}

data='' run='' epochs=15
default_epochs=$epochs
while [ $# -gt 0 ]; do
    case $1 in
    --data=* | --run=* | --epochs=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    esac
    case $1 in
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
        exit 0
        ;;
    --data | --run | --epochs)
        [ $# -ge 2 ] || code=2 die "$1 needs a value, see --help"
        ;;
    *) code=2 die "unknown option $1; valid: --data DIR, --run DIR, --epochs N, --help" ;;
    esac
    case $1 in
    --data) data=$2 ;;
    --run) run=$(cd "$from" && realpath -m "$2") ;;
    --epochs) epochs=$2 ;;
    esac
    shift 2
done
[[ $epochs =~ ^[1-9][0-9]{0,5}$ ]] || code=2 die "--epochs $epochs: want a whole number, 1 or more"
if [ -n "$data" ]; then
    data=$(cd "$from" && realpath -m "$data")
    [ -d "$data" ] || code=3 die "--data $data: there is no such folder"
fi
if [ -z "$run" ]; then
    run=runs/quickstart
    [ -z "$data" ] || run+=-$(basename "$data")
    [ "$epochs" = $default_epochs ] || run+=-$epochs-epochs
fi

n=0 total=6
[ -n "$data" ] || total=7
began=0
step() {
    n=$((n + 1))
    began=$SECONDS
    printf '\n[%d/%d] %s\n' $n $total "$*"
}
took() { printf '      %s(%d s)\n' "${1:+$1 }" $((SECONDS - began)); }
logged() { # run a command that talks too much; show the end of it when it fails
    local log=build-quickstart/$1.log
    shift
    if ! "$@" >"$log" 2>&1; then
        tail -n 20 "$log" | sed 's/^/  | /' >&2
        die "failed: $* (all of it is in $log)"
    fi
}

echo "asd: from a clone to a table. Everything goes to build-quickstart/, data/ and $run/."

step "Debian packages"
scripts/install-deps.sh | sed 's/^/      /'
took

step "Building"
mkdir -p build-quickstart
logged configure cmake -S . -B build-quickstart -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF
sed -n 's/^-- \(CUDA: .*\)/      \1/p' build-quickstart/configure.log
logged build cmake --build build-quickstart
PATH=$PWD/build-quickstart:$PATH
took "programs in build-quickstart/"

if [ -z "$data" ]; then
    data=data/quickstart
    step "Making a small two-microphone data set: six machines, normal and faulty"
    asd-data synth "$data" --train-source 140 --train-target 10 --test 50 --seconds 6 >build-quickstart/synth.log
    took "$(find "$data" -name '*.wav' | wc -l) clips in $data/"
fi

step "Training the DCASE 2026 baseline, one autoencoder a machine ($epochs epochs)"
asd-train recipes/dcase-baseline.yaml --data "$data" --run "$run" --set train.epochs="$epochs" >build-quickstart/train.log
took

step "Scoring the test clips"
asd-eval score recipes/dcase-baseline.yaml --data "$data" --run "$run" --set train.epochs="$epochs" \
    >build-quickstart/score.log
mse=$run/scores/mse mahalanobis=$run/scores/selective_mahalanobis
took "anomaly_score_*.csv and decision_result_*.csv in $run/scores/"

# Only machines whose test clips carry their label in the name can be evaluated; those of the challenge's evaluation
# part do not, and asd-eval omega --truth takes the organisers' lists.
labelled=(--data "$data") unlabelled=() # --data: every test clip must have its score
for scores in "$mse"/anomaly_score_*_section_*_test.csv; do
    machine=${scores##*/anomaly_score_} machine=${machine%_section_*}
    if grep -qE '(^|_)(normal|anomaly)_' "$scores"; then
        labelled+=(--machine "$machine")
    else
        unlabelled+=("$machine")
    fi
done
if [ ${#unlabelled[@]} -gt 0 ]; then
    printf '      without labels, scored but not evaluated: %s\n' "${unlabelled[*]}"
    [ ${#labelled[@]} -gt 2 ] || {
        printf '\nDone: no test clip has a label, so there is no Omega. With labels: asd-eval omega %s --truth DIR\n' "$mse"
        exit 0
    }
fi

step "Evaluating: Omega with 95 % intervals from 10,000 bootstrap replicates"
printf '\nMSE\n'
asd-eval omega "$mse" "${labelled[@]}"
printf '\nSelective Mahalanobis\n'
asd-eval omega "$mahalanobis" "${labelled[@]}"
printf '\nA = MSE, B = selective Mahalanobis, the same resampled clips for both\n'
asd-eval compare "$mse" "$mahalanobis" "${labelled[@]}"
took

step "Report"
report=$(asd-eval report "$run" "${labelled[@]}")
took

printf '\nDone in %d min %02d s. The report, one file for any browser:\n%s\n' \
    $((SECONDS / 60)) $((SECONDS % 60)) "$(realpath "$report")"
