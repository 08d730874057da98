#!/usr/bin/env bash
# Builds the flashable image that the virtual machines of the tests boot, as it is shipped but for the programs, which
# are those of the dev profile. Again only when a program or the build changed.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly OUT=target/image-test
export ASSAY_PROGRAMS=$PWD/target/debug

stamp() {
  cat agent/image/build.sh tools/debian-packages.sh "$ASSAY_PROGRAMS"/assay-{init,agent,image-values} | sha256sum
}

if [[ ! -f $OUT/stamp || $(stamp) != "$(cat "$OUT/stamp")" ]]; then
  rm -f "$OUT/stamp"
  agent/image/build.sh --out "$OUT"
  # Twice the same bytes: what was published can be built by whoever doubts it.
  agent/image/build.sh --out "$OUT-again"
  diff "$OUT/SHA256SUMS" "$OUT-again/SHA256SUMS" || {
    echo "error: two builds of the image differ: expected the same digests, got those above" >&2
    exit 1
  }
  rm -r "$OUT-again"
  stamp >"$OUT/stamp"
fi
