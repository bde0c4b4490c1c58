#!/usr/bin/env bash
# bundle.sh - pack the programs with their libraries into one archive that runs where it is unpacked, without root.
#
#   scripts/bundle.sh [options]
#
#   -o FILE       the archive (default asd-VERSION-COMMIT-PROCESSOR.tar.xz in this folder)
#   --build DIR   take the programs of this build (default: build-bundle, built here, with CUDA if there is a toolkit)
#   --xz LEVEL    0 to 9 (default 6): 0 packs fast, for tests
#   --keep DIR    leave the unpacked bundle in this new folder as well
#
# In the bundle:
#   bin/          every asd-* program, and the test programs that tests/gpu.sh runs
#   lib/          the shared libraries they load, found relative to the program; not in it are glibc, the C++ runtime
#                 (libstdc++, libgcc_s), the CUDA driver and CUDA's libraries: these must fit the machine
#   recipes/      the recipes                      share/  documents, a font for the figures of reports
#   tests/gpu.sh  the check of a CUDA machine      bench/  the programs of others that we measure against
#   licenses/     the terms of every library in lib/
#
# The archive has sorted names, the time of the commit and no owner: the same build gives the same bytes. Runs on
# glibc 2.36 or later with a libstdc++ of gcc 12 or later. Needs patchelf, xz and binutils.
set -euo pipefail
export LC_ALL=C # one order of names everywhere
from=$PWD
cd "$(dirname "$0")/.."
source=$PWD

GLIBC=2.36 # of Debian 12, where bundles are made
LIMIT_MIB=40

die() {
    printf 'bundle: %s\n' "$*" >&2
    exit "${code:-1}"
}

out='' build='' level=6 keep=''
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' scripts/bundle.sh
        exit 0
        ;;
    -o | --build | --xz | --keep) [ $# -ge 2 ] || code=2 die "$1 needs a value, see --help" ;;
    *) code=2 die "unknown option $1; valid: -o FILE, --build DIR, --xz LEVEL, --keep DIR, --help" ;;
    esac
    case $1 in
    -o) out=$(cd "$from" && realpath -m "$2") ;;
    --build) build=$(cd "$from" && realpath -m "$2") ;;
    --xz) level=$2 ;;
    --keep) keep=$(cd "$from" && realpath -m "$2") ;;
    esac
    shift 2
done
[[ $level =~ ^[0-9]$ ]] || code=2 die "--xz $level: want 0 to 9"
[ -z "$keep" ] || [ ! -e "$keep" ] || code=2 die "--keep $keep: is there already"
for tool in patchelf xz ldd objdump readelf strip; do
    command -v $tool >/dev/null || die "$tool is missing; on Debian: scripts/install-deps.sh --test"
done

if [ -z "$build" ]; then
    build=$source/build-bundle
    # Every program holds the kernels for every architecture, so here, and not where one develops, they are packed
    # as small as nvcc can.
    flags=''
    nvcc=$(PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin command -v nvcc || true)
    [ -z "$nvcc" ] || ! "$nvcc" --help | grep -q -- --compress-mode || flags=--compress-mode=size
    cmake -G Ninja -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=ON -DCMAKE_CUDA_FLAGS="$flags" >&2
    cmake --build "$build" >&2
fi
[ -x "$build/asd-info" ] || die "$build: no asd-info there; build first, or leave --build out"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=$("$build/asd-info" --version | awk '{ print $2 }')
commit=$("$build/asd-info" --json | sed -n 's/^ *"commit": "\([^"]*\)".*/\1/p')
cuda=$("$build/asd-info" --json | sed -n 's/^ *"toolkit": "\([^"]*\)".*/\1/p')
name=asd-$version-$commit-$(uname -m)
[ -z "$cuda" ] || name+=-cuda${cuda%%.*}
root=$work/$name
mkdir -p "$root"/{bin,lib,licenses,tests,bench,share/asd/fonts,share/doc}

# --- programs ---
programs=("$build"/asd-*)
for test in $(tests/gpu.sh --list-tests); do
    [ "$test" != test_matmul ] || [ -n "$cuda" ] || continue # part of CUDA builds alone
    [ -x "$build/$test" ] || die "$build: no $test there, which tests/gpu.sh runs; build with -DBUILD_TESTING=ON"
    programs+=("$build/$test")
done
for program in "${programs[@]}"; do
    [ -f "$program" ] && [ -x "$program" ] || continue
    install -m 755 "$program" "$root/bin/"
done
strip --strip-unneeded "$root"/bin/*
n_programs=$(ls "$root/bin" | wc -l)

# --- libraries ---
outside() { # outside FILE: glibc, the C++ runtime, the driver, CUDA's libraries
    case $1 in
    ld-linux* | ld64* | linux-vdso* | libc.so* | libm.so* | libmvec.so* | libdl.so* | libpthread.so* | librt.so* | \
        libresolv.so* | libutil.so* | libanl.so* | libnss_* | libstdc++.so* | libgcc_s.so*) return 0 ;;
    libcuda.so* | libcuda[a-z]*.so* | libcublas* | libcufft* | libcudnn* | libcurand* | libcusolver* | libcusparse* | \
        libnv* | libnccl*) return 0 ;;
    esac
    return 1
}
needed() { ldd "$@" | awk '/=> not found/ { print "missing", $1 } /=> \// { print $1, $3 }' | sort -u; }
while read -r soname path; do
    [ "$soname" != missing ] || die "$path is not on this machine"
    ! outside "$soname" || continue
    install -m 644 "$(realpath "$path")" "$root/lib/$soname"
    printf '%s %s\n' "$soname" "$path" >>"$work/libraries"
done < <(needed "$root"/bin/*)
# RPATH, not RUNPATH: it holds for the libraries' own needs too, and comes before LD_LIBRARY_PATH, so that what a
# cluster's modules put there cannot take the place of a library that this program was tested with.
for program in "$root"/bin/*; do
    patchelf --force-rpath --set-rpath '$ORIGIN/../lib' "$program"
done
for library in "$root"/lib/*; do
    if readelf -d "$library" | grep -q 'R.*PATH)'; then
        patchelf --remove-rpath "$library" # its own would hide the program's
    fi
done

# --- their licenses ---
command -v dpkg-query >/dev/null || die "dpkg-query is missing: the libraries' licenses are taken from Debian's packages"
# A package may list its file under /lib or /usr/lib, which are one folder, and under the name that a link leads to.
while read -r soname path; do
    real=$(realpath "$path")
    for file in "$path" "$real" "/usr$path" "${real#/usr}"; do
        printf '%s %s\n' "$file" "$soname"
    done
done <"$work/libraries" | sort -u >"$work/files"
{ dpkg-query -S $(cut -d ' ' -f 1 "$work/files" | sort -u) 2>/dev/null || true; } | # some of the names are in none
    sed -nE 's/^([^:, ]+)(:[a-z0-9]+)?: (.*)$/\3 \1/p' | sort -u | join "$work/files" - | cut -d ' ' -f 2,3 | sort -u \
    >"$work/packages"
dpkg-query -W -f '${Package} ${Version}\n' $(cut -d ' ' -f 2 "$work/packages" | sort -u) | sort -u >"$work/versions"
while read -r soname path; do
    package=$(awk -v name="$soname" '$1 == name { print $2; exit }' "$work/packages")
    [ -n "$package" ] || die "$path: belongs to no Debian package"
    [ -f "/usr/share/doc/$package/copyright" ] || die "$package: its license is not in /usr/share/doc"
    install -m 644 "/usr/share/doc/$package/copyright" "$root/licenses/$package.txt"
    printf '%-28s %-24s %s\n' "$soname" "$package" \
        "$(awk -v name="$package" '$1 == name { print $2; exit }' "$work/versions")" >>"$work/list"
done <"$work/libraries"
cp -rL /usr/share/common-licenses "$root/licenses/common" # the texts that many of them refer to
install -m 644 LICENSE "$root/licenses/asd.txt"
{
    echo "# Terms"
    echo
    echo "asd itself: [asd.txt](asd.txt). The files of lib/ are those of Debian's packages, unchanged; each package's"
    echo "terms are in PACKAGE.txt here (what it calls /usr/share/common-licenses is common/), its source at https://snapshot.debian.org by name and version. Any of them may"
    echo "be replaced by another build of the same library."
    echo
    printf '    %-28s %-24s %s\n' file package version
    sort "$work/list" | sed 's/^/    /'
} >"$root/licenses/README.md"

# --- the rest ---
cp -r recipes "$root/"
cp -r docs "$root/share/doc/asd"
cp -r bench/peers "$root/bench/"
install -m 755 tests/gpu.sh "$root/tests/"
install -m 644 scripts/bundle/fonts.conf "$root/share/asd/fonts/"
for font in DejaVuSans DejaVuSans-Bold; do
    file=/usr/share/fonts/truetype/dejavu/$font.ttf
    [ -f "$file" ] || die "$file is missing; on Debian: scripts/install-deps.sh"
    install -m 644 "$file" "$root/share/asd/fonts/"
done
install -m 644 /usr/share/doc/fonts-dejavu-core/copyright "$root/licenses/fonts-dejavu-core.txt"
sed -e "s/@VERSION@/$version/g; s/@COMMIT@/$commit/g; s/@GLIBC@/$GLIBC/g" \
    -e "s/@CUDA@/${cuda:+with CUDA $cuda}/; s/ *@NO_CUDA@/${cuda:+}/" scripts/bundle/README.md >"$root/README.md"

# --- does it hold? ---
newest=$(objdump -T "$root"/bin/* "$root"/lib/* | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -n 1)
[ "$(printf '%s\nGLIBC_%s\n' "$newest" $GLIBC | sort -V | tail -n 1)" = GLIBC_$GLIBC ] ||
    die "a file in it needs $newest, and bundles are for glibc $GLIBC: make it on Debian 12"
while read -r soname path; do
    [ "$soname" != missing ] || die "$path is missing from lib/"
    outside "$soname" || [ "$path" = "$root/bin/../lib/$soname" ] || die "$soname is taken from $path, not from lib/"
done < <(env -i PATH="$PATH" bash -c "$(declare -f needed); needed \"\$@\"" - "$root"/bin/*)
env -i "$root/bin/asd-info" >"$work/info" || die "its asd-info does not run"

# --- archive ---
: "${out:=$source/$name.tar.xz}"
stamp=$(git log -1 --format=%ct 2>/dev/null || echo 0)
tar -C "$work" --sort=name --mtime="@$stamp" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --format=gnu \
    -cf - "$name" | xz --lzma2="preset=$level,dict=64MiB" >"$out.part" # the programs share most of their bytes
mv "$out.part" "$out"
bytes=$(stat -c %s "$out")
[ -z "$keep" ] || mv "$root" "$keep"
printf 'bundle: %s, %d KiB, %d programs, %d libraries%s\n' "$out" $((bytes / 1024)) "$n_programs" \
    "$(wc -l <"$work/list")" "${cuda:+, with CUDA $cuda}"
[ "$bytes" -lt $((LIMIT_MIB << 20)) ] || [ "$level" -lt 6 ] || die "$out is above $LIMIT_MIB MiB"
