#!/usr/bin/env bash
# The table of attacks that the last run of the tests left, and its sum: attacks tried, caught, false alarms.
set -euo pipefail
cd "$(dirname "$0")/../target/attacks" 2>/dev/null || { echo "no attack was tried: run the tests of assay-bench" >&2; exit 1; }

awk -F'\t' '
  $1 == "attack" { tried++; caught += $2 == "as expected" }
  $1 == "honest" { boots++; alarms += $2 != "as expected" }
  { printf "%-6s  %-11s  %-62s  must be seen: %-44s  seen: %s\n", $1, $2, $3, $4, substr($5, 1, 90) }
  END { printf "%d attacks tried, %d caught; %d honest boots, %d false alarms\n", tried, caught, boots, alarms }
' ./*
