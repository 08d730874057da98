#!/usr/bin/env bash
# Builds the flashable image that the virtual machines of the tests boot: Debian's small kernel, the programs of the
# dev profile. Again only when a program or the build changed.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly OUT=target/image-test
export ASSAY_PROGRAMS=$PWD/target/debug

stamp() {
  cat agent/image/build.sh "$ASSAY_PROGRAMS"/assay-{init,agent,image-values} | sha256sum
}

if [[ ! -f $OUT/stamp || $(stamp) != "$(cat "$OUT/stamp")" ]]; then
  rm -f "$OUT/stamp"
  agent/image/build.sh --out "$OUT" --flavour cloud-amd64
  stamp >"$OUT/stamp"
fi
