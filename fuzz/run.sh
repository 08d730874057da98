#!/usr/bin/env bash
# Runs every fuzz target for so many seconds (default 10), one per core at a time; fails on a finding.
#   fuzz/run.sh 60                 all targets
#   fuzz/run.sh 600 eventlog cbor  only these
# Needs cargo-fuzz. The pinned stable compiler is told to accept the sanitizer flags.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:-10}
shift || true
export RUSTC_BOOTSTRAP=1
# Leak detection needs ptrace, which containers forbid; Rust code has other ways to leak.
export ASAN_OPTIONS=detect_leaks=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}
bin=$PWD/target/$(rustc -vV | sed -n 's/^host: //p')/release

mapfile -t targets < <(sed -n 's|^path = "fuzz_targets/\(.*\)\.rs"$|\1|p' Cargo.toml)
(($# == 0)) || targets=("$@")

echo "building ${#targets[@]} targets"
cargo fuzz build --fuzz-dir .
"$bin/seeds" corpus

run_one() { # target
  local log=target/logs/$1.log
  mkdir -p target/logs "corpus/$1" "artifacts/$1"
  if "$bin/$1" "corpus/$1" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=65536 \
      -print_final_stats=1 -artifact_prefix="artifacts/$1/" >"$log" 2>&1; then
    printf '%-20s ok %9s runs  %s\n' "$1" \
      "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
      "$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)"
  else
    printf '%-20s FINDING, see fuzz/artifacts/%s\n' "$1" "$1"
    tail -n 40 "$log"
    return 1
  fi
}
export -f run_one
export bin seconds
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -c 'run_one {}'
