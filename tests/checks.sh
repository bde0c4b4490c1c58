#!/usr/bin/env bash
# checks.sh - what the scripts that drive the programs count with; sourced by tests/run_*.sh, which set $work first.
failed=0
passed=0
ok() { passed=$((passed + 1)); }
bad() {
    echo "FAIL $*"
    failed=$((failed + 1))
}
check() { # check TEXT COMMAND...: the command succeeds
    local text=$1
    shift
    if "$@"; then ok; else bad "$text: $*"; fi
}
says() { # says FILE TEXT: the latest program's stdout (out) or stderr (err) holds TEXT
    if grep -qF -- "$2" "$work/$1"; then ok; else
        bad "standard $1 lacks: $2"
        sed 's/^/    /' "$work/$1"
    fi
}
