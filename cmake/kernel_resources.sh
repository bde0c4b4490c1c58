#!/usr/bin/env bash
# kernel_resources.sh - what each kernel takes of a multiprocessor, by architecture, from what ptxas told.
#
#   kernel_resources.sh EXPLAINED OBJECT...
#
# One line a kernel: registers of a thread for each architecture; then, as the most over all of them, static shared
# memory of a block, local memory of a thread ("stack": arrays that are indexed at run time, and spills) and the bytes
# spilled (stores + loads). Exit code 1 when a kernel spills that EXPLAINED does not name, or EXPLAINED names one that
# does not. EXPLAINED has lines "KERNEL | ARCHITECTURE | REASON": the kernel as in the table, * for any text.
set -euo pipefail
export LC_ALL=C
[ $# -ge 2 ] || { echo "usage: kernel_resources.sh EXPLAINED OBJECT..." >&2 && exit 2; }
explained=$1
shift
logs=("${@/%/.ptxas}")
for log in "${logs[@]}"; do
    [ -f "$log" ] || { echo "kernel-resources: no $log; build again" >&2 && exit 1; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# kernel architecture registers shared stack spilled; a called function's stack and spills count for its kernel
awk '
    function flush() {
        if (kernel != "") print kernel, arch, registers, shared, stack, spilled
        kernel = ""
    }
    /Compiling entry function/ {
        flush()
        split($0, part, "\047")
        kernel = part[2]; arch = part[4]; registers = shared = stack = spilled = 0
    }
    /bytes stack frame/ && kernel != "" { spilled += $5 + $9; if ($1 > stack) stack = $1 }
    /: Used [0-9]+ registers/ && kernel != "" {
        for (i = 1; i < NF; ++i) {
            if ($(i + 1) ~ /^registers/) registers = $i
            if ($(i + 1) == "bytes" && $(i + 2) ~ /^smem/) shared = $i
            if ($(i + 1) == "bytes" && $(i + 2) == "cumulative" && $i > stack) stack = $i
        }
    }
    /^ptxas info +: +[0-9]+ bytes gmem/ { flush() }
    END { flush() }
' "${logs[@]}" | sort -u >"$work/mangled"
[ -s "$work/mangled" ] || { echo "kernel-resources: no kernel in $*" >&2 && exit 1; }
# "void asd_k<float, 4>(float const*, long)" -> "asd_k<float,4>"
cut -d ' ' -f 1 "$work/mangled" | c++filt | sed -E 's/\(anonymous namespace\):://g; s/^void //; s/\([^()]*(\([^()]*\)[^()]*)*\)( *\[.*\])?$//; s/ //g' |
    paste -d " " - <(cut -d ' ' -f 2- "$work/mangled") | sort >"$work/rows"

awk -v explained="$explained" '
    function glob(text) { # as a regular expression
        gsub(/[][.+?(){}|^$\\]/, "\\\\&", text)
        gsub(/\*/, ".*", text)
        return "^" text "$"
    }
    BEGIN {
        while ((getline line < explained) > 0) {
            if (line ~ /^ *(#|$)/) continue
            if (split(line, field, / *\| */) != 3 || field[3] == "") {
                printf "kernel-resources: %s: not KERNEL | ARCHITECTURE | REASON: %s\n", explained, line
                bad = 1
                continue
            }
            ++n_known
            known_kernel[n_known] = glob(field[1]); known_arch[n_known] = glob(field[2]); known_line[n_known] = line
        }
    }
    {
        if (!($1 in seen)) { order[++n] = $1; seen[$1] = 1 }
        archs[$2] = 1
        registers[$1, $2] = $3 # the same name twice: one static kernel in two files; the last is shown
        if ($4 > shared[$1]) shared[$1] = $4
        if ($5 > stack[$1]) stack[$1] = $5
        if ($6 > spilled[$1]) spilled[$1] = $6
        if ($6 > 0) {
            why = ""
            for (i = 1; i <= n_known; ++i)
                if ($1 ~ known_kernel[i] && $2 ~ known_arch[i]) { used[i] = 1; why = known_line[i] }
            if (why == "") problem[++n_problems] = sprintf("%s on %s spills %d bytes, unexplained", $1, $2, $6)
            else note[$1] = "*"
        }
    }
    END {
        m = 0
        for (a in archs) { name[++m] = a; number[m] = substr(a, 4) + 0 }
        for (i = 2; i <= m; ++i) for (j = i; j > 1 && number[j] < number[j - 1]; --j) {
            t = name[j]; name[j] = name[j - 1]; name[j - 1] = t
            t = number[j]; number[j] = number[j - 1]; number[j - 1] = t
        }
        width = 24
        for (i = 1; i <= n; ++i) if (length(order[i]) > width) width = length(order[i])
        if (width > 60) width = 60
        printf "%-*s", width, "kernel"
        for (i = 1; i <= m; ++i) printf " %7s", name[i]
        printf " %7s %6s %7s\n", "shared", "stack", "spilled"
        for (k = 1; k <= n; ++k) {
            printf "%-*s", width, order[k]
            for (i = 1; i <= m; ++i) printf " %7s", ((order[k], name[i]) in registers) ? registers[order[k], name[i]] : "-"
            printf " %7d %6d %6d%s\n", shared[order[k]], stack[order[k]], spilled[order[k]], note[order[k]] ? "*" : " "
        }
        printf "%d kernels; %d spill, %d unexplained\n", n, n_spill(), n_problems
        for (i = 1; i <= n_problems; ++i) print "kernel-resources: " problem[i]
        for (i = 1; i <= n_known; ++i) if (!used[i]) {
            print "kernel-resources: " explained ": no such spill (any more): " known_line[i]
            bad = 1
        }
        exit bad || n_problems > 0
    }
    function n_spill(  count, k) {
        for (k in spilled) if (spilled[k] > 0) ++count
        return count + 0
    }
' "$work/rows"
