#!/usr/bin/env bash
# Builds the Debian package of the probe guest.
#
#   agent/package/probe/build.sh OUT-DIR GUEST-DIR [VERSION]
#
# GUEST-DIR is what agent/image/probe/build.sh made. The same guest and program give the same bytes. Root is not needed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../../.." && pwd)
# shellcheck source=agent/package/deb.sh
source "$here/../deb.sh"

(($# >= 2)) || { sed -n 's/^#   //p' "$0" >&2; exit 64; }
out=$1 guest=$2
prepare assay-probe "${3:-}" "make probe builds it"
(cd "$guest" && sha256sum --quiet --check SHA256SUMS) || {
  echo "error: $guest: expected a probe guest as its build left it" >&2
  echo "hint: agent/image/probe/build.sh --out $guest" >&2
  exit 1
}

install -D -m 644 -t "$tree/usr/lib/assay-probe" "$guest"/{firmware.fd,kernel,initrd,class.toml,packages.txt}
install -D -m 644 -t "$tree/lib/systemd/system" "$here/assay-probe.service"
install -D -m 644 "$here/assay-probe.rules" "$tree/lib/udev/rules.d/60-assay-probe.rules"
install -d -m 755 "$tree/usr/lib/modules-load.d"
echo vhost_vsock >"$tree/usr/lib/modules-load.d/assay-probe.conf"
install -D -m 644 "$repository/agent/image/probe/README.md" "$tree/usr/share/doc/assay-probe/README.md"
pack "$here" <<EOF
Depends: adduser, udev, kmod, libc6 (>= 2.36), libgcc-s1, qemu-system-x86 (>= 1:9.1)
Enhances: assay-agent
Description: SEV-SNP reports for the agent of Assay on a bare-metal host
 A tiny measured guest under KVM, whose launch measurement a hardware class
 can name, and the unit that starts it. With a host at tier 2 it is what
 tier 3 takes. Debian 12 has the QEMU it needs in backports.
EOF
