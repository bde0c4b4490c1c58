#!/usr/bin/env bash
# install-deps.sh - bring in the Debian packages that asd is built from, and nothing else.
#
#   scripts/install-deps.sh           what the library and the programs need
#   scripts/install-deps.sh --test    and what the tests need
#   scripts/install-deps.sh --list    print the names, one a line; changes nothing
#
# Packages that are already there cost no network and no root. Made for Debian 12; on another system it prints what
# is needed and stops, because the versions (oneDNN 2, libfyaml 0.7, CMake 3.25) are Debian 12's.
set -euo pipefail

BUILD_PACKAGES=(
    gcc libc6-dev cmake ninja-build pkg-config
    libfyaml-dev libjansson-dev                        # recipes, JSON
    libsndfile1-dev libsoxr-dev                        # audio files, resampling
    libzip-dev libssl-dev libxxhash-dev libcurl4-openssl-dev ca-certificates # archives, hashes, HTTPS
    libhdf5-dev                                        # the embedding cache
    libdnnl-dev libopenblas-dev liblapacke-dev libkissfft-dev # layers, linear algebra, Fourier transforms
    librandom123-dev                                   # Philox
    libcairo2-dev libpango1.0-dev fonts-dejavu-core    # figures of the report
)
TEST_PACKAGES=(libcmocka-dev g++ clang libclang-rt-14-dev libomp-dev clang-format patchelf xz-utils binutils python3 python3-h5py)

die() {
    printf 'install-deps: %s\n' "$*" >&2
    exit 1
}

usage() {
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
}

packages=("${BUILD_PACKAGES[@]}")
list_only=0
for argument in "$@"; do
    case $argument in
    --test) packages+=("${TEST_PACKAGES[@]}") ;;
    --list) list_only=1 ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        printf 'install-deps: unknown option %s; valid: --test --list --help\n' "$argument" >&2
        exit 2
        ;;
    esac
done
if [ $list_only = 1 ]; then
    printf '%s\n' "${packages[@]}"
    exit 0
fi

if [ "${ASD_USE_INSTALLED:-0}" = 1 ]; then
    echo "packages: left alone (ASD_USE_INSTALLED=1)"
    exit 0
fi
system=unknown
if [ -r /etc/os-release ]; then
    system=$(. /etc/os-release && printf '%s %s' "${ID:-unknown}" "${VERSION_ID:-}")
fi
if [ "$system" != "debian 12" ]; then
    {
        printf 'install-deps: this is made for Debian 12, and here is "%s".\n' "$system"
        printf 'Install these (names are Debian'\''s) and build with cmake, see docs/install.md:\n'
        printf '  %s\n' "${packages[*]}"
        printf 'or work in a Debian 12 container. With the packages in place, set ASD_USE_INSTALLED=1 to go on.\n'
    } >&2
    exit 1
fi

missing=()
for package in "${packages[@]}"; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    if [ "$state" != installed ]; then
        missing+=("$package")
    fi
done
if [ ${#missing[@]} = 0 ]; then
    echo "packages: all ${#packages[@]} are installed"
    exit 0
fi

as_root=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null ||
        die "these packages are missing, and installing needs root or sudo: ${missing[*]}"
    as_root=(sudo)
    if ! sudo -n true 2>/dev/null; then
        [ -t 0 ] || die "sudo asks for a password and there is no terminal; as root: apt-get install ${missing[*]}"
        echo "packages: sudo will ask for your password"
    fi
fi

apt() { # apt-get without questions, waiting for another package manager to finish
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@"
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
explain() {
    tail -n 8 "$log" | sed 's/^/  | /' >&2
    die "$1"
}

echo "packages: installing ${#missing[@]} of ${#packages[@]}: ${missing[*]}"
refreshed=1
apt -o APT::Update::Error-Mode=any update >"$log" 2>&1 || refreshed=0
# A mirror of something else may be down while Debian's is well: only the installation decides.
if ! apt install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
    if [ $refreshed = 0 ]; then
        explain "the package lists could not be refreshed: no network, or the mirrors in /etc/apt are wrong"
    fi
    explain "apt-get could not install the packages; its last words are above"
fi
echo "packages: done"
