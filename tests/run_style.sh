#!/usr/bin/env bash
# run_style.sh - what the style guide asks and a machine can see: lengths, layout, words, which room includes which,
# the op table, links in the documents. Needs no build.
set -euo pipefail
cd "${ASD_SOURCE:-$(dirname "$0")/..}"

failed=0
passed=0
check() { # check NAME OFFENDERS: offenders is text, one offence a line
    if [ -n "$2" ]; then
        printf 'FAIL style/%s\n%s\n' "$1" "$(sed 's/^/    /' <<<"$2")"
        failed=$((failed + 1))
    else
        printf 'ok   style/%s\n' "$1"
        passed=$((passed + 1))
    fi
}

mapfile -t code < <(find host kernels cuda tests bench -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' 2>/dev/null | sort)
mapfile -t scripts < <(find . -path ./.git -prune -o -name 'build*' -type d -prune -o -name '*.sh' -print -o \
    -path ./.ci/run -print | sort)
mapfile -t others < <(find . -path ./.git -prune -o -path './build*' -prune -o -path ./runs -prune -o -path ./data -prune \
    -o \( -name '*.md' -o -name '*.py' -o -name '*.def' -o -name '*.yaml' -o -name 'CMake*' -o -name '*.cmake*' \) \
    -type f -print | sort)
[ ${#code[@]} -gt 20 ] || { echo "run_style: only ${#code[@]} sources found in $PWD" >&2; exit 1; }

check length/file-600 "$(for f in "${code[@]}" "${scripts[@]}"; do
    n=$(wc -l <"$f")
    [ "$n" -le 600 ] || echo "$f: $n lines; above 600 it is two files"
done)"

# clang-format puts a function's braces alone in column 0, and nothing else's.
check length/function-100 "$(awk 'FNR == 1 { open = 0 }
    /^\{$/ { open = FNR }
    /^\}$/ && open { if (FNR - open > 101) print FILENAME ":" open ": " FNR - open - 1 " lines in one function"; open = 0 }
    ' "${code[@]}")"

check words/due-notes "$(grep -nE '\b(FIXME|XXX|HACK)\b|\bTODO\b' "${code[@]}" "${scripts[@]}" "${others[@]}" |
    grep -vE 'TODO\([^,()]+, [^()]+\)|run_style\.sh:|clang-format off' || true)"

check layout/white-space "$(grep -nP '[ \t]+$|\t' "${code[@]}" || true)"

if command -v clang-format >/dev/null && clang-format --version | grep -q 'version 14\.'; then
    check layout/clang-format "$(clang-format --dry-run -Werror "${code[@]}" 2>&1 | grep 'error:' | head -20 || true)"
else
    echo "skip style/layout/clang-format: needs clang-format 14, other versions lay out differently"
fi

check scripts/syntax "$(for f in "${scripts[@]}"; do
    bash -n "$f" 2>&1 || true
    [ -x "$f" ] || echo "$f: not executable"
done)"

# --- rooms: dependencies point one way (docs/walk.md) ---------------------------------------------------------------
may_include() { # the rooms that a file of room $1 may include from, its own left out
    case $1 in
    base) echo "" ;;
    kernels) echo "base cuda" ;;
    audio) echo "base" ;;
    nn) echo "base kernels cuda" ;;
    models | heads) echo "base kernels nn" ;;
    data) echo "base audio kernels nn checkpoints" ;; # nn: features run the front-end op; checkpoints: the manifest
    detect) echo "base nn kernels cuda" ;;
    score) echo "base data" ;; # data: the grammar of labelled names
    cuda) echo "base kernels" ;; # kernels: op.h, for dtypes
    tools) echo "base audio nn models heads data detect score kernels cuda ref" ;; # ref: asd-bench checks, then times
    *) echo "?" ;;
    esac
}
check rooms/includes "$(for f in "${code[@]}"; do
    case $f in
    host/*/*) room=${f#host/} room=${room%%/*} ;;
    kernels/* | cuda/*) room=${f%%/*} ;;
    *) continue ;;
    esac
    allowed=$(may_include "$room")
    if [ "$allowed" = "?" ]; then
        echo "$f: $room is not a room"
        continue
    fi
    { grep -noE '^ *# *include "[^"]+"' "$f" || true; } | while IFS= read -r line; do
        target=${line#*\"} target=${target%\"}
        from=${target%%/*}
        if [ "$from" = "$target" ]; then
            echo "$f:${line%%:*}: \"$target\": write the room, as in \"base/status.h\""
        elif [ "$from" != "$room" ] && [[ " $allowed " != *" $from "* ]]; then
            echo "$f:${line%%:*}: room $room may not include $target (only: ${allowed:-itself})"
        fi
    done
done)"

# asd-bench is built of these, also where no package for tests is installed.
check rooms/references "$(grep -nE '#include .*(harness\.h|cmocka\.h)' tests/ref/ref_*.[ch] || true)"

# --- the op table: every row has its file, and the file its cases -----------------------------------------------------
if [ -f kernels/ops.def ]; then
    mapfile -t ops < <(sed -nE 's/^[A-Z_]+\( *([a-z0-9_]+).*/\1/p' kernels/ops.def)
    [ ${#ops[@]} -gt 0 ] || { echo "run_style: no rows found in kernels/ops.def" >&2; exit 1; }
    check ops/cases "$(for op in "${ops[@]}"; do
        where=$(grep -lE "asd_op +asd_op_$op\b" kernels/*.c || true)
        if [ -z "$where" ]; then
            echo "kernels/ops.def: no kernels/*.c defines asd_op_$op"
        elif ! awk "/asd_op +asd_op_${op}[ =]/,/;/" "$where" | grep -qE '\.cases *='; then
            echo "$where: asd_op_$op has no .cases"
        fi
    done)"
fi

# --- documents: relative links lead somewhere ----------------------------------------------------------------------
check docs/links "$(for f in "${others[@]}"; do
    [[ $f == *.md ]] || continue
    { grep -oE '\]\([^)# ]+' "$f" || true; } | sed 's/^](//' | while IFS= read -r link; do
        case $link in
        http://* | https://* | mailto:*) ;;
        *) [ -e "$(dirname "$f")/$link" ] || echo "$f: link to $link leads nowhere" ;;
        esac
    done
done)"
# A file named in backquotes with a folder of the tree must exist.
check docs/files "$(for f in "${others[@]}"; do
    [[ $f == *.md ]] || continue
    { grep -oE '`(host|kernels|cuda|tests|scripts|docs|recipes|bench|cmake)/[A-Za-z0-9_./-]+`' "$f" || true; } |
        tr -d '`' | grep -v NAME | sort -u | while IFS= read -r name; do
        [ -e "$name" ] || echo "$f: \`$name\` is not in the tree"
    done
done)"

printf '%d passed, %d failed\n' $passed $failed
[ $failed = 0 ]
