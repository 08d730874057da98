#!/usr/bin/env bash
# Two small Debian systems as tar files, for the tests that install the package: one for a folder, one that boots in a
# machine. Made again only when their packages change.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly MIRROR=http://deb.debian.org/debian
# What the package depends on is in the one that boots: its machine has no way out.
readonly DEPENDS=libtss2-esys-3.0.2-0,libtss2-mu0,libtss2-tcti-device0,libtss2-tcti-swtpm0,libtss2-tctildr0

system() { # name, packages
  local out=target/debian-$1.tar
  [[ ! -s $out || $2 != "$(cat "$out.packages" 2>/dev/null)" ]] || return 0
  mmdebstrap --mode=root --format=tar --variant=apt --include="$2" bookworm "$out.new" "$MIRROR"
  mv "$out.new" "$out"
  echo "$2" >"$out.packages"
}

if ((EUID != 0)); then
  echo "NOT MADE: only root can set up a system in a folder" >&2
  exit 0
fi
mkdir -p target
system base adduser
# What the provider's page uses besides, and what makes networks and disks slow or broken.
readonly TOOLS=tpm2-tools,iproute2,dmsetup,e2fsprogs
system guest "adduser,systemd-sysv,udev,initramfs-tools,linux-image-cloud-amd64,$TOOLS,$DEPENDS"
