#!/usr/bin/env bash
# Everything that must hold, a line a stage. A stage's output goes to target/test-logs and is shown when it fails. Some run
# beside others: what has one thread beside what has several, and what the last stages need beside tests, at the lowest
# priority. Their lines come when they are over, with the time that they were waited for.
# Three build sets: the dev profile (clippy, binaries, tests), target/mutants/build and fuzz/target.
set -euo pipefail
cd "$(dirname "$0")/.."

FUZZ_SMOKE_SECONDS=${FUZZ_SMOKE_SECONDS:-5}
logs=$PWD/target/test-logs
venv=$PWD/target/foreign-venv
mkdir -p "$logs"

stage() { # title, command...
  begin "$@"
  finish "$1"
}

declare -A running=()
# Of what was begun, with everything that it has started.
trap '((${#running[@]} == 0)) || kill -- "${running[@]/#/-}" 2>/dev/null || true' EXIT

log_of() { # title
  echo "$logs/${1// /-}.log"
}

begin() { # title, command...: what runs until `finish`
  local title=$1
  shift
  set -m
  "$@" >"$(log_of "$title")" 2>&1 </dev/null &
  set +m
  running[$title]=$!
}

finish() { # title
  local title=$1 log start=$SECONDS code=0
  log=$(log_of "$title")
  printf '==> %-40s' "$title"
  wait "${running[$title]}" || code=$?
  unset "running[$title]"
  if ((code == 0)); then
    printf 'ok %6d s\n' $((SECONDS - start))
  else
    printf 'FAILED %6d s\n' $((SECONDS - start))
    tail -n 100 "$log" >&2
    echo "error: $title failed; all of its output is in ${log#"$PWD"/}" >&2
    exit 1
  fi
}

tool() { # cargo subcommand, version: built from source when absent, which takes minutes
  cargo "$1" --version || cargo install --locked "cargo-$1@$2"
}

contracts() (
  cd ledger-bridge/contracts && npm ci --ignore-scripts --no-audit --no-fund && node compile.mjs --check &&
    node tools/evidence-vectors.mjs --check || return
  local written
  written=$(mktemp -d) && cp snapshots/* "$written" && tools/forge.sh test || return
  # The tests write what they measure: the gas that is checked in is the gas that it costs.
  diff -r "$written" snapshots && rm -r "$written"
)

foreign_decoder() {
  { [[ -x $venv/bin/pip ]] || python3 -m venv "$venv"; } &&
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r vm-tests/foreign/requirements.txt
}

tests() {
  if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --workspace --locked --no-fail-fast
  else
    cargo test --workspace --locked --no-fail-fast --bins --lib --tests
  fi
}

contracts_and_proofs() {
  contracts && ledger-bridge/contracts/tools/halmos.sh
}

tools() { # of the last stages, and their slowest build; nobody waits for the first while tests run
  renice -n 19 "$BASHPID"
  tool mutants 27.1.0 || echo "cargo-mutants cannot be installed"
  tool deny 0.20.2 && tool fuzz 0.13.2 && fuzz/run.sh build
}

mutants() { # the tests have just passed without any
  MUTANTS_BASELINE=skip MUTANTS_TEST_SECONDS_MAX=120 tools/mutants.sh ci
}

stage 'format'              cargo fmt --all --check
stage 'format fuzz'         cargo fmt --manifest-path fuzz/Cargo.toml --check
begin 'contracts and proofs' contracts_and_proofs
stage 'clippy'              cargo clippy --workspace --all-targets --locked -- -D warnings
stage 'build'               cargo build --workspace --bins --tests --locked
stage 'image for machines'  tools/test-image.sh
stage 'probe guest for machines' tools/test-probe.sh
stage 'base for packages'   tools/test-base.sh
stage 'foreign decoder'     foreign_decoder
finish 'contracts and proofs'
export ASSAY_FOREIGN_PYTHON=$venv/bin/python
rm -rf target/attacks
begin 'tools'               tools
stage 'tests'               tests
tools/attacks.sh | sed 's/^/    /'
stage 'SEV-SNP devices'     tools/test-sev-devices.sh
finish 'tools'
if cargo mutants --version >/dev/null 2>&1; then
  stage 'mutants'           mutants
  grep -E '^(caught|timeout|unviable|missed|NOT ALL)|mutant' "$logs/mutants.log" | sed 's/^/    /'
else
  echo "==> mutants: NOT RUN, cargo-mutants cannot be installed; see target/test-logs/tools.log" >&2
fi
stage 'dependencies'        cargo deny --locked check bans licenses sources
stage 'fuzz smoke'          fuzz/run.sh "$FUZZ_SMOKE_SECONDS"
fuzzed=$(grep -c ' ok .* runs ' "$logs/fuzz-smoke.log") || {
  echo "error: no target was fuzzed; see target/test-logs/fuzz-smoke.log" >&2
  exit 1
}
echo "    $fuzzed targets, no finding"
echo "==> all passed in $((SECONDS / 60)) min"
