#!/usr/bin/env bash
# Builds the flashable image that the virtual machines of the tests boot, as it is shipped but for the programs, which
# are those of the dev profile. Again only when a program or the build changed.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/built-twice.sh
source tools/built-twice.sh

export ASSAY_PROGRAMS=$PWD/target/debug

built_twice target/image-test agent/image/build.sh \
  agent/image/tree.sh "$ASSAY_PROGRAMS"/assay-{init,agent,image-values}
