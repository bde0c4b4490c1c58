#!/usr/bin/env bash
# run_bundle.sh - pack this build with scripts/bundle.sh, unpack it in an empty folder, and use it there with nothing
# but glibc and the C++ runtime: from clips to a report, moved, and in an empty root file system.
set -euo pipefail
build=${ASD_BIN:?the build folder}
source=${ASD_SOURCE:?the source folder}
for tool in patchelf xz objdump dpkg-query; do
    command -v $tool >/dev/null || { echo "skipped: no $tool" && exit 77; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
ok() { printf 'ok   bundle/%s\n' "$1" && passed=$((passed + 1)); }
fail() {
    printf 'FAIL bundle/%s\n' "$*" >&2
    exit 1
}
quiet() { # quiet NAME COMMAND...: its output is shown only when it fails
    local name=$1
    shift
    if ! "$@" >"$work/out" 2>"$work/err"; then
        tail -n 20 "$work/out" "$work/err" >&2
        fail "$name: $*"
    fi
}

# --- the archive ---
quiet pack "$source/scripts/bundle.sh" --build "$build" --xz 0 -o "$work/one.tar.xz"
quiet pack "$source/scripts/bundle.sh" --build "$build" --xz 0 -o "$work/two.tar.xz"
cmp "$work/one.tar.xz" "$work/two.tar.xz" || fail "same-bytes: packed twice, the archives differ"
ok same-bytes
place="$work/a place" # with a space
mkdir "$place"
tar -C "$place" -xJf "$work/one.tar.xz"
[ "$(ls "$place" | wc -l)" = 1 ] || fail "one-folder: $(ls "$place")"
[ -z "$(find "$place" -newermt now)" ] || fail "times: files newer than the commit"
root=$(echo "$place"/asd-*)
for path in README.md licenses/README.md licenses/asd.txt recipes/dcase-baseline.yaml tests/gpu.sh; do
    [ -s "$root/$path" ] || fail "contents: no $path"
done
for library in "$root"/lib/*; do # every library's terms are there
    grep -q "^    ${library##*/} " "$root/licenses/README.md" || fail "licenses: ${library##*/} is not listed"
done
ok contents

# --- used as a researcher does, with an empty environment ---
used() { # used NAME ARGS...: a program of the bundle; the libraries that the linker really took go to $work/loaded
    local name=$1 program=$2
    shift 2
    quiet "$name" env -i LD_DEBUG=files LD_DEBUG_OUTPUT="$work/ld" TMPDIR="$work" XDG_CACHE_HOME="$work/cache" \
        OMP_NUM_THREADS=2 "$root/bin/$program" "$@"
    sed -nE 's,^ *[0-9]+:\s+calling init: (.*)$,\1,p' "$work"/ld.* | sed 's,/bin/\.\./,/,' >>"$work/loaded"
    rm -f "$work"/ld.*
}
cd / # nothing is found by where we stand
set=(--data "$work/data" --run "$work/run" --smoke)
used info asd-info
used synth asd-data synth "$work/data" --machines fan,valve --train-source 12 --train-target 3 --test 4 --seconds 2
used train asd-train dcase-baseline "${set[@]}"
used score asd-eval score dcase-baseline "${set[@]}"
used omega asd-eval omega "$work/run/scores/mse" --bootstrap 100
grep -qE '^Omega [0-9.]+' "$work/out" || fail "omega: no Omega in the table"
ok use
used report asd-eval report "$work/run" --figures "$work/figures"
grep -q '</html>' "$work/run/eval/report.html" || fail "report: no whole page"
ok report

# glibc and the C++ runtime are the system's, all else the bundle's.
strangers=$(sort -u "$work/loaded" | grep -v "^$root/lib/" | grep -vE \
    '/(ld-linux[^/]*|lib(c|m|mvec|dl|pthread|rt|resolv|anl|util|nss_[a-z]+|stdc\+\+|gcc_s)\.so[.0-9]*)$' || true)
[ -z "$strangers" ] || fail "libraries: taken from the system: $strangers"
[ "$(grep -c "^$root/lib/" "$work/loaded")" -gt 50 ] || fail "libraries: hardly any was taken from the bundle"
ok libraries

# What a cluster's modules put into LD_LIBRARY_PATH does not get in.
mkdir "$work/wrong"
for library in "$root"/lib/*; do
    echo "no library" >"$work/wrong/${library##*/}"
done
quiet library-path env LD_LIBRARY_PATH="$work/wrong" "$root/bin/asd-info"
ok library-path

# --- moved, into a root file system that holds glibc, the C++ runtime and nothing else ---
bare=$work/bare
mkdir "$bare"
mv "$root" "$bare/asd"
root=$bare/asd
used moved asd-eval omega "$work/run/scores/mse" --bootstrap 100
ok moved
if [ "$(id -u)" = 0 ] && chroot / true 2>/dev/null; then
    for library in $(ldd "$build"/asd-info | grep -oE '/[^ ]*/(ld-linux[^/ ]*|lib(c|m|mvec|dl|pthread|rt|resolv|stdc\+\+|gcc_s)\.so[.0-9]*)'); do
        mkdir -p "$bare${library%/*}"
        cp -L "$library" "$bare$library"
    done
    # The linker learns from this link alone where a program lies; nothing else of /proc is there.
    mkdir -p "$bare/tmp" "$bare/proc/self"
    ln -s /asd/bin/any "$bare/proc/self/exe"
    cp -r "$work/run/scores" "$bare/tmp/"
    quiet bare/info chroot "$bare" /asd/bin/asd-info
    quiet bare/omega chroot "$bare" /asd/bin/asd-eval omega /tmp/scores/mse --bootstrap 100
    grep -qE '^Omega [0-9.]+' "$work/out" || fail "bare: no Omega in the table"
    ok bare
    mv "$root/lib" "$root/hidden" # the empty system must really have nothing to offer
    ! chroot "$bare" /asd/bin/asd-info >/dev/null 2>"$work/err" || fail "bare/control: starts without its libraries"
    grep -q 'cannot open shared object file' "$work/err" || fail "bare/control: $(cat "$work/err")"
    ok bare/control
else
    echo "skip bundle/bare: needs root"
fi
printf '%d passed\n' $passed
