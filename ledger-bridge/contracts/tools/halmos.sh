#!/usr/bin/env bash
# Proofs of symbolic/ by halmos, installed from PyPI on first use; arguments are halmos's, as --contract EscrowCheck.
# An answer of the solver has no deadline that a slow machine would miss.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=../../target/halmos-venv
if ! "$venv/bin/halmos" --version >/dev/null 2>&1; then
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: -r symbolic/requirements.txt
fi
export PATH="$PWD/node_modules/@foundry-rs/forge-linux-amd64/bin:$PATH" FOUNDRY_PROFILE=symbolic
exec "$venv/bin/halmos" --loop 4 --solver-timeout-assertion 1800000 --forge-build-out out/symbolic "$@"
