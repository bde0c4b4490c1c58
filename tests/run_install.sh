#!/usr/bin/env bash
# run_install.sh - `make install` into a new prefix, then build and run a user's program against it: C and C++ with
# pkg-config, C with find_package(asd).
set -euo pipefail
build=${ASD_BIN:?the build folder}
source=${ASD_SOURCE:?the source folder}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix="$work/a prefix" # pkg-config files must cope with a space
fail() {
    printf 'FAIL install/%s\n' "$*" >&2
    exit 1
}
step() { # step NAME COMMAND...: its output is shown only when it fails
    local name=$1
    shift
    if ! "$@" >"$work/log" 2>&1; then
        cat "$work/log" >&2
        fail "$name: $*"
    fi
    printf 'ok   install/%s\n' "$name"
}

step prefix cmake --install "$build" --prefix "$prefix"
pc=$(find "$prefix" -name asd.pc)
[ -n "$pc" ] || fail "pkg-config: no asd.pc"
export PKG_CONFIG_PATH=${pc%/*}
cc=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
case $cc in
*clang*) cxx=clang++ ;;
*) cxx=g++ ;;
esac

cat >"$work/user.c" <<'END'
#include <asd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    char       *text = NULL;
    size_t      size = 0;
    asd_status  st   = asd_read_file("/no/such/file", 10, &text, &size);
    if (argc != 2 || st != ASD_E_DATA || !strstr(asd_error_text(), "/no/such/file"))
        return 1;
    if (asd_read_file(argv[1], 1 << 20, &text, &size))
        return 2;
    printf("read %zu\n", size);
    asd_clip_name name; /* a C library, used from the user's language */
    st = asd_clip_name_parse("section_00_source_train_normal_0001_m-n_B.wav", &name);
    if (st || name.domain != ASD_SOURCE || name.number != 1)
        return 3;
    asd_recipe recipe; /* found by its name in the installed recipes */
    st = asd_recipe_load("dcase-baseline", NULL, 0, 0, &recipe);
    if (st || recipe.cfg.model_hidden != 128)
        return 4;
    asd_recipe_clear(&recipe);
    free(text);
    return 0;
}
END
sed 's/char       \*text = NULL/char *text = nullptr/' "$work/user.c" >"$work/user.cc"
want="read $(stat -c %s "$work/user.c")"
run() { # run NAME PROGRAM: it reads a file through the library
    local got
    got=$(cd / && ASD_RECIPES="$prefix/share/asd/recipes" "$2" "$work/user.c") || fail "$1: exit code $?"
    [ "$got" = "$want" ] || fail "$1: printed \"$got\", want \"$want\""
    printf 'ok   install/%s/runs\n' "$1"
}
flags() { pkg-config "$@" asd; }

# eval, because pkg-config quotes the prefix's space for a shell
step pkg-config/c eval "'$cc' -std=c11 -Wall -Wextra -Werror '$work/user.c' -o '$work/user-c' $(flags --cflags --libs)"
run pkg-config/c "$work/user-c"
command -v $cxx >/dev/null || fail "pkg-config/c++: no $cxx (scripts/install-deps.sh --test brings g++ and clang)"
step pkg-config/c++ eval "$cxx -std=c++17 -Wall -Wextra -Werror '$work/user.cc' -o '$work/user-cc' $(flags --cflags --libs)"
run pkg-config/c++ "$work/user-cc"

mkdir "$work/project"
cat >"$work/project/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(user LANGUAGES C)
find_package(asd 0.1 REQUIRED)
add_executable(user ../user.c)
target_link_libraries(user PRIVATE asd::asd)
if(NOT EXISTS ${ASD_RECIPES_DIR}/dcase-baseline.yaml)
  message(FATAL_ERROR "ASD_RECIPES_DIR=${ASD_RECIPES_DIR} holds no dcase-baseline.yaml")
endif()
END
step cmake/configure cmake -S "$work/project" -B "$work/project/build" -G Ninja -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_PREFIX_PATH="$prefix"
step cmake/build cmake --build "$work/project/build"
run cmake "$work/project/build/user"

# Every header stands alone and none leads back into the source tree.
grep -rl "$source" "$prefix/include" "$PKG_CONFIG_PATH/../cmake/asd" "$pc" &&
    fail "headers: the files above name the source folder"
find "$prefix/include/asd" -name '*.h' | while IFS= read -r header; do
    printf '#include "%s"\nint unused_;\n' "$header" >"$work/alone.cc"
    step "headers/${header#"$prefix/include/asd/"}" eval \
        "$cxx -std=c++17 -fsyntax-only -Wall -Wextra -Werror $(flags --cflags) '$work/alone.cc'"
done

# The installed programs answer, from any folder.
for program in "$prefix"/bin/asd-*; do
    [ -x "$program" ] || fail "programs: none installed"
    (cd / && step "programs/${program##*/}" "$program" --version)
done
