#!/usr/bin/env bash
# Builds the Debian package of the agent.
#
#   agent/package/build.sh OUT-DIR [VERSION]
#
# The same program gives the same bytes. Root is not needed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
export LC_ALL=C SOURCE_DATE_EPOCH=1767225600

(($# >= 1)) || { sed -n 's/^#   //p' "$0" >&2; exit 64; }
out=$1
program=${ASSAY_PROGRAMS:-$repository/target/release}/assay-agent
version=${2:-$(sed -n 's/^version = "\(.*\)"/\1/p' "$repository/Cargo.toml" | head -1)}
[[ -x $program ]] || { echo "error: $program is not built" >&2; echo "hint: make package builds it" >&2; exit 1; }
[[ $version =~ ^[0-9][0-9A-Za-z.+~-]*$ ]] || { echo "error: expected a Debian version, got $version" >&2; exit 1; }

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"
documents=usr/share/doc/assay-agent
install -D -m 755 "$program" "$tree/usr/bin/assay-agent"
strip --strip-unneeded "$tree/usr/bin/assay-agent"
install -D -m 644 -t "$tree/lib/systemd/system" "$here"/assay-{agent,measure}.service
install -D -m 644 "$here/agent.toml.example" "$tree/$documents/agent.toml.example"
install -D -m 644 "$repository/agent/README.md" "$tree/$documents/README.md"
install -D -m 644 "$repository/LICENSE" "$tree/$documents/copyright"
install -d -m 755 "$tree/DEBIAN"
install -m 755 -t "$tree/DEBIAN" "$here"/{postinst,prerm,postrm}
cat >"$tree/DEBIAN/control" <<EOF
Package: assay-agent
Version: $version
Architecture: amd64
Maintainer: Assay <assay@example.org>
Section: admin
Priority: optional
Depends: adduser, libc6 (>= 2.36), libgcc-s1, libtss2-esys-3.0.2-0, libtss2-mu0, libtss2-tcti-device0, libtss2-tcti-swtpm0, libtss2-tctildr0
Suggests: tpm2-tools
Description: proof that this server delivers what its owner promised
 The agent of Assay: gives TPM evidence and answers challenges of HyperNodes.
 Root on this machine can still have the TPM quote another key, so a node
 with this package stays at tier 1; the flashable image reaches tier 2.
EOF
find "$tree" -mindepth 1 -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$out"
dpkg-deb --root-owner-group --build "$tree" "$out/assay-agent_${version}_amd64.deb" >/dev/null
echo "$out/assay-agent_${version}_amd64.deb"
