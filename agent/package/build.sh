#!/usr/bin/env bash
# Builds the Debian package of the agent.
#
#   agent/package/build.sh OUT-DIR [VERSION]
#
# The same program gives the same bytes. Root is not needed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
# shellcheck source=agent/package/deb.sh
source "$here/deb.sh"

(($# >= 1)) || { sed -n 's/^#   //p' "$0" >&2; exit 64; }
out=$1
prepare assay-agent "${2:-}" "make package builds it"

documents=usr/share/doc/assay-agent
install -D -m 644 -t "$tree/lib/systemd/system" "$here"/assay-{agent,measure,smart}.service "$here"/assay-smart.timer
install -D -m 644 "$here/agent.toml.example" "$tree/$documents/agent.toml.example"
install -D -m 644 "$repository/agent/README.md" "$tree/$documents/README.md"
pack "$here" <<EOF
Depends: adduser, libc6 (>= 2.36), libgcc-s1, libtss2-esys-3.0.2-0, libtss2-mu0, libtss2-tcti-device0, libtss2-tcti-swtpm0, libtss2-tctildr0
Suggests: tpm2-tools, assay-probe
Description: proof that this server delivers what its owner promised
 The agent of Assay: gives TPM evidence and answers challenges of HyperNodes.
 Root on this machine can still have the TPM quote another key, so a node
 with this package stays at tier 1; the flashable image reaches tier 2.
EOF
