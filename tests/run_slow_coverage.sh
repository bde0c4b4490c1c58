#!/usr/bin/env bash
# run_slow_coverage.sh - draws 1,000 data sets and demands that the 95 % bootstrap intervals of Omega and of a paired
# difference hold the truth in 93.5 to 96.5 % of them. About a minute; runs only when ASD_SLOW is set.
set -euo pipefail
if [ -z "${ASD_SLOW:-}" ]; then
    echo "skipped: set ASD_SLOW=1 to draw 1,000 data sets (about a minute)"
    exit 77
fi
ASD_COVERAGE=1000 exec "${ASD_BIN:-build}/test_coverage"
