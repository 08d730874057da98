#!/usr/bin/env bash
# Foundry's forge of node_modules, as a native program: `npm ci` installs it and runs no script.
set -euo pipefail
cd "$(dirname "$0")/.."
exec node_modules/@foundry-rs/forge-linux-amd64/bin/forge "$@"
