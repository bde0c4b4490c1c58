#!/usr/bin/env bash
# run_report.sh - asd-eval report as a user runs it: stdout, exit codes, a page that an XML parser takes.
set -euo pipefail
eval_program=${ASD_BIN:?}/asd-eval
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

fail() {
    echo "FAIL report/$1" >&2
    exit 1
}

for system in mse mahalanobis; do
    mkdir -p "run/scores/$system"
    for machine in fan 'a<b>&"c'; do
        for clip in {0..39}; do
            domain=source
            [ $((clip % 2)) = 0 ] || domain=target
            condition=normal
            [ $((clip / 2 % 2)) = 0 ] || condition=anomaly
            echo "section_00_${domain}_test_${condition}_$(printf %04d "$clip")_x.wav,$(((clip * 37 + ${#system} * clip) % 41)).5"
        done >"run/scores/$system/anomaly_score_${machine}_section_00_test.csv"
    done
done

out=$("$eval_program" report run --bootstrap 100 2>err) || fail "run: $(cat err)"
[ "$out" = run/eval/report.html ] || fail "stdout is: $out"
[ ! -s err ] || fail "stderr is: $(cat err)"
"$eval_program" report run --bootstrap 100 -j 1 -o again.html >/dev/null
cmp run/eval/report.html again.html || fail "same input, other bytes"

# The numbers are those of asd-eval omega.
omega=$("$eval_program" omega run/scores/mse --bootstrap 100 --json | sed 's/.*"omega": *\([0-9.]*\).*/\1/')
grep -qF "<b>$(printf '%.2f' "$(echo "$omega" | awk '{ print 100 * $1 }')")</b>" again.html || fail "no Omega of $omega"

# Figures for papers: the same files again, from another number of threads.
out=$("$eval_program" report run --bootstrap 100 --figures figures 2>err) || fail "figures: $(cat err)"
[ "$out" = $'run/eval/report.html\nfigures' ] || fail "stdout with figures is: $out"
[ "$(find figures -type f | wc -l)" = $((2 * (2 + 2 + 2 * 2))) ] || fail "figures are: $(ls figures)"
"$eval_program" report run --bootstrap 100 -j 1 --figures more/figures >/dev/null
diff -r figures more/figures || fail "same input, other figures"
cmp run/eval/report.html again.html || fail "with figures the page has other bytes"
if command -v pdfinfo >/dev/null; then
    for file in figures/*.pdf; do
        pdfinfo "$file" >facts 2>err && [ ! -s err ] && grep -q '^Pages: *1$' facts || fail "$file: $(cat err)"
    done
else
    echo "skip report/pdfinfo: no poppler-utils"
fi

# Without any font the page is made all the same, and figures are refused before anything is written.
echo '<fontconfig></fontconfig>' >no-fonts.conf
FONTCONFIG_FILE=$PWD/no-fonts.conf "$eval_program" report run --bootstrap 100 -o plain.html >/dev/null 2>err ||
    fail "page without fonts: $(cat err)"
[ ! -s err ] || fail "without fonts stderr is: $(cat err)"
grep -qF '</html>' plain.html || fail "the page made without fonts is not whole"
code=0
FONTCONFIG_FILE=$PWD/no-fonts.conf "$eval_program" report run --bootstrap 100 -o none.html --figures none \
    >out 2>err || code=$?
[ $code = 1 ] && grep -q 'none: .*font' err || fail "figures without fonts: exit $code, $(cat err)"
[ ! -e none ] && [ ! -e none.html ] && [ ! -s out ] || fail "figures without fonts left something behind"

if command -v python3 >/dev/null; then
    python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' again.html || fail "an XML parser refuses the page"
    python3 -c 'import sys, xml.dom.minidom as m; [m.parse(f) for f in sys.argv[1:]]' plain.html figures/*.svg ||
        fail "an XML parser refuses a figure"
else
    echo "skip report/xml: no python3"
fi

code=0
"$eval_program" report nowhere >/dev/null 2>err || code=$?
[ $code = 3 ] && grep -q nowhere err || fail "missing run: exit $code, $(cat err)"
code=0
"$eval_program" report run --level 2 >/dev/null 2>err || code=$?
[ $code = 2 ] && grep -q -- --level err || fail "wrong level: exit $code, $(cat err)"
echo "section_00_source_test_normal_0000_x.wav,nan" >"run/scores/mse/anomaly_score_fan_section_00_test.csv"
code=0
"$eval_program" report run >/dev/null 2>err || code=$?
[ $code = 3 ] && grep -q 'mse/anomaly_score_fan' err || fail "damaged scores: exit $code, $(cat err)"
cmp run/eval/report.html again.html || fail "a failed run touched the old report"
[ "$(find run/eval | wc -l)" = 2 ] || fail "left behind: $(find run/eval)"
echo "ok   report/command"
