#!/usr/bin/env bash
# Proofs of symbolic/ by halmos 0.3.3 of PyPI, which has to be on the path; arguments are halmos's, as --contract EscrowCheck.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/node_modules/@foundry-rs/forge-linux-amd64/bin:$PATH" FOUNDRY_PROFILE=symbolic
exec halmos --loop 4 --solver-timeout-assertion 60000 --forge-build-out out/symbolic "$@"
