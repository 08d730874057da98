#!/usr/bin/env bash
# Builds the probe guest that the tests start, as it is shipped but for the programs, which are those of the dev profile,
# and fetches what carries vsock to it. Again only when a program or the build changed.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/debian-packages.sh
source tools/debian-packages.sh
# shellcheck source=tools/built-twice.sh
source tools/built-twice.sh

export ASSAY_PROGRAMS=$PWD/target/debug

[[ -x target/probe-tools/usr/bin/vhost-device-vsock ]] || debian_unpack_testing target/probe-tools vhost-device-vsock
built_twice target/probe-test agent/image/probe/build.sh \
  agent/image/tree.sh "$ASSAY_PROGRAMS"/assay-{init,agent,image-values}
