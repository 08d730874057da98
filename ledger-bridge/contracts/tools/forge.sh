#!/usr/bin/env bash
# Foundry's forge of node_modules, as a native program: `npm ci` installs it and runs no script. Tests find what they deploy
# in out/deployed, so that is built before them.
set -euo pipefail
cd "$(dirname "$0")/.."
forge=node_modules/@foundry-rs/forge-linux-amd64/bin/forge
if [[ ${1:-} == test ]]; then
  FOUNDRY_PROFILE=deployed "$forge" build
fi
exec "$forge" "$@"
