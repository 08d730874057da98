#!/usr/bin/env bash
# What the agent weighs, each figure beside its budget: the stripped release binary, memory, processor time, start,
# and how many crates it is made of. Fails when the binary or the number of crates is over; the other figures depend on
# the machine and are shown. By hand, not in CI: it builds the release profile of the agent.
#
# usage: tools/agent-budget.sh
set -euo pipefail
cd "$(dirname "$0")/.."

binary_max=$((6 * 1024 * 1024)) # bytes
crates_max=84                   # our own crates and build-time ones among them
over=0

line() { # name, figure, budget, unit
  printf '%-28s %12s  of %8s %s\n' "$1" "$2" "$3" "$4"
}

bound() { # the same, and it has to hold
  line "$@"
  [ "$2" -le "$3" ] || { echo "OVER: $1: $2, at most $3 $4" >&2; over=1; }
}

cargo build --quiet --release --locked -p assay-agent --bin assay-agent
binary=${CARGO_TARGET_DIR:-target}/release/assay-agent
bound "binary" "$(stat --format %s "$binary")" "$binary_max" bytes
bound "crates" "$(cargo tree --locked -p assay-agent -e normal --prefix none | sed 's/ (\*)$//' | sort -u | wc -l)" "$crates_max" ""

figures=$(ASSAY_AGENT=$(realpath "$binary") cargo test --quiet --locked -p assay-agent --test daemon -- \
  --ignored --exact budget::figures --nocapture)
figure() { sed -n "s/.*\b$1 //p" <<<"$figures"; }
line "resident, idle" "$(figure idle_rss_kib)" 12288 KiB
line "resident, challenged (peak)" "$(figure busy_rss_kib)" 16384 KiB
line "processor, idle" "$(figure idle_core_percent)" 0.1 "% of a core"
line "start to first answer" "$(figure start_ms)" 1000 "ms, a software TPM's work among them"
exit "$over"
