#!/usr/bin/env bash
# Everything that must hold, a line a stage. A stage's output goes to target/test-logs and is shown when it fails.
# Three build sets: the dev profile (clippy, binaries, tests), target/mutants/build and fuzz/target.
set -euo pipefail
cd "$(dirname "$0")/.."

FUZZ_SMOKE_SECONDS=${FUZZ_SMOKE_SECONDS:-5}
logs=$PWD/target/test-logs
venv=$PWD/target/foreign-venv
mkdir -p "$logs"

# Functions run as conditions here, so `set -e` does not reach into them: they chain with &&.
stage() { # title, command...
  local title=$1 log=$logs/${1// /-}.log start=$SECONDS
  shift
  printf '==> %-40s' "$title"
  if "$@" >"$log" 2>&1; then
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

mutants() { # the tests have just passed without any
  MUTANTS_BASELINE=skip MUTANTS_TEST_SECONDS_MAX=120 tools/mutants.sh ci
}

stage 'format'              cargo fmt --all --check
stage 'format fuzz'         cargo fmt --manifest-path fuzz/Cargo.toml --check
stage 'clippy'              cargo clippy --workspace --all-targets --locked -- -D warnings
stage 'contracts'           contracts
stage 'proofs of contracts' ledger-bridge/contracts/tools/halmos.sh
stage 'build'               cargo build --workspace --bins --tests --locked
stage 'image for machines'  tools/test-image.sh
stage 'probe guest for machines' tools/test-probe.sh
stage 'base for packages'   tools/test-base.sh
stage 'foreign decoder'     foreign_decoder
export ASSAY_FOREIGN_PYTHON=$venv/bin/python
rm -rf target/attacks
stage 'tests'               tests
tools/attacks.sh | sed 's/^/    /'
stage 'SEV-SNP devices'     tools/test-sev-devices.sh
if tool mutants 27.1.0 >"$logs/tool-cargo-mutants.log" 2>&1; then
  stage 'mutants'           mutants
  grep -E '^(caught|timeout|unviable|missed|NOT ALL)|mutant' "$logs/mutants.log" | sed 's/^/    /'
else
  echo "==> mutants: NOT RUN, cargo-mutants cannot be installed; see target/test-logs/tool-cargo-mutants.log" >&2
fi
stage 'tool cargo-deny'     tool deny 0.20.2
stage 'dependencies'        cargo deny --locked check bans licenses sources
stage 'tool cargo-fuzz'     tool fuzz 0.13.2
stage 'fuzz smoke'          fuzz/run.sh "$FUZZ_SMOKE_SECONDS"
echo "==> all passed in $((SECONDS / 60)) min"
