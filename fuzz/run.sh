#!/usr/bin/env bash
# Runs every fuzz target for so many seconds (default 10), two at a time; fails on a finding.
#   fuzz/run.sh 60                 all targets
#   fuzz/run.sh 600 eventlog cbor  only these
#   fuzz/run.sh build              builds them, and runs none
# A finding is a panic, an input that takes over 20 s, or one that takes the process over its memory cap.
# Needs cargo-fuzz. The pinned stable compiler is told to accept the sanitizer flags.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:-10}
shift || true
export RUSTC_BOOTSTRAP=1
# Leak detection needs ptrace, which containers forbid; Rust code has other ways to leak.
export ASAN_OPTIONS=detect_leaks=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}
bin=$PWD/target/$(rustc -vV | sed -n 's/^host: //p')/release

# The whole process with the sanitizer's shadow and the corpus; no single allocation may be over a quarter of it.
RSS_MB=1024
MALLOC_MB=256

max_len() { # target: largest input, bytes
  case $1 in
    # Fixed structures; what is longer is refused at once.
    tpm_attest | tpm_signature | tpm_public | tpm_ak_rules | log_leaf | ima_position | ek_certificate) echo 4096 ;;
    snp_report | appraise_snp_report) echo 1280 ;;
    snp_endorsement | nvme_readings | x509_certificate | eventlog_structures | checkpoint) echo 8192 ;;
    tpm_clock | tpm_quote | pcr_file | agent_config | hardware_class | snp_azure_claims) echo 16384 ;;
    # Logs and lists grow without end on real machines, and time must stay linear.
    eventlog | eventlog_claims | measured_log | ima_list | appraise_event_log | appraise_ima_list | x509_crl) echo 1048576 ;;
    *) echo 65536 ;;
  esac
}

mapfile -t targets < <(sed -n 's|^path = "fuzz_targets/\(.*\)\.rs"$|\1|p' Cargo.toml)
(($# == 0)) || targets=("$@")

start=$SECONDS
echo "building ${#targets[@]} targets"
cargo fuzz build --fuzz-dir .
"$bin/seeds" corpus
echo "built in $((SECONDS - start)) s; memory cap $RSS_MB MiB, one allocation $MALLOC_MB MiB"

[[ $seconds != build ]] || exit 0

run_one() { # target
  local log=target/logs/$1.log
  stat() { sed -n "s/^stat::$1: *//p" "$log"; }
  mkdir -p target/logs "corpus/$1" "artifacts/$1"
  if "$bin/$1" "corpus/$1" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=$RSS_MB \
      -malloc_limit_mb=$MALLOC_MB -max_len="$(max_len "$1")" \
      -print_final_stats=1 -artifact_prefix="artifacts/$1/" >"$log" 2>&1; then
    printf '%-20s ok %9s runs  %-12s slowest %2s s  peak %4s MiB\n' "$1" "$(stat number_of_executed_units)" \
      "$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)" "$(stat slowest_unit_time_sec)" "$(stat peak_rss_mb)"
  else
    printf '%-20s FINDING, see fuzz/artifacts/%s\n' "$1" "$1"
    tail -n 40 "$log"
    return 1
  fi
}
export -f run_one max_len
export bin seconds RSS_MB MALLOC_MB
printf '%s\n' "${targets[@]}" | xargs -P 2 -I{} bash -c 'run_one {}'
echo "all done in $((SECONDS - start)) s"
