#!/usr/bin/env bash
# Builds the probe guest: a tiny confidential machine that has SEV-SNP reports made for the agent on its host.
#
#   agent/image/probe/build.sh --out DIR [--kernel PACKAGE] [--firmware FILE]
#
# DIR gets firmware.fd, kernel and initrd (the guest; its command line is fixed in `assay-probe`), class.toml (its launch
# measurement, for hardware classes), packages.txt (what went in) and SHA256SUMS. Twice the same packages and programs
# give the same bytes. Root is not needed.
#   --kernel     Debian's package of a kernel with the module sev-guest; without it the newest of 6.12 for virtual
#                machines (Debian 12's own kernel, 6.1, has no such module there)
#   --firmware   OVMF for SEV-SNP with a place for kernel hashes (edk2's AmdSev build); without it that of Debian's
#                package ovmf-amdsev, which Debian 12 does not have yet: it is taken from testing
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../../.." && pwd)
# shellcheck source=tools/debian-packages.sh
source "$repository/tools/debian-packages.sh"
# shellcheck source=agent/image/tree.sh
source "$here/../tree.sh"

# Only these can be loaded: the firmware's messages, and vsock.
readonly MODULES=(sev-guest vmw_vsock_virtio_transport)

out='' kernel='' firmware=''

usage() {
  sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0" >&2
  exit 64
}

arguments() {
  while (($# > 1)); do
    case $1 in
      --out) out=$2 ;;
      --kernel) kernel=$2 ;;
      --firmware) firmware=$2 ;;
      *) usage ;;
    esac
    shift 2
  done
  [[ $# == 0 && -n $out ]] || usage
  [[ -z $firmware || -r $firmware ]] || fail "$firmware: cannot be read" "name an OVMF for SEV-SNP with --firmware"
}

take_firmware() {
  if [[ -n $firmware ]]; then
    echo "firmware $(basename "$firmware") sha256:$(sha256sum <"$firmware" | cut -d' ' -f1)" >>"$work/packages"
    install -m 644 "$firmware" "$out/firmware.fd"
  else
    debian_unpack_testing "$work/testing" ovmf-amdsev >>"$work/packages"
    install -m 644 "$work/testing/usr/share/ovmf/OVMF.amdsev.fd" "$out/firmware.fd"
  fi
}

initial_file_system() { # kernel version
  local tree=$work/initial
  skeleton "$tree"
  put "$tree" /usr/sbin/modprobe
  put "$tree" "$programs/assay-init" /init
  put "$tree" "$programs/assay-agent" /usr/bin/assay-agent
  strip --strip-unneeded "$tree/init" "$tree/usr/bin/assay-agent"
  modules "$tree" "$1" "${MODULES[@]}"
  [[ -n $(find "$tree/usr/lib/modules" -name 'sev-guest.ko*') ]] ||
    fail "$kernel: expected a module sev-guest, found none" "name the package of a kernel with CONFIG_SEV_GUEST=m"
  settle "$tree"
  archive "$tree" "$out/initrd"
}

arguments "$@"
mkdir -p "$out"
out=$(cd "$out" && pwd)
[[ -z $firmware ]] || firmware=$(realpath "$firmware")
cd "$repository"
programs=${ASSAY_PROGRAMS:-$repository/target/release}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for program in assay-init assay-agent assay-image-values; do
  [[ -x $programs/$program ]] || fail "$programs/$program is not built" "make probe builds it"
done

echo "==> packages"
[[ -n $kernel ]] || kernel=$(debian_kernel 6.12-cloud-amd64)
debian_unpack "$work/debian" "$kernel" "${AGENT_PACKAGES[@]}" "${MODPROBE_PACKAGES[@]}" >"$work/packages"
take_firmware
version=${kernel#linux-image-}
install -m 644 "$work/debian/boot/vmlinuz-$version" "$out/kernel"

echo "==> initial file system"
initial_file_system "$version"

echo "==> launch measurement"
"$programs/assay-image-values" probe "$out" >"$out/class.toml"
sort "$work/packages" >"$out/packages.txt"
(cd "$out" && sha256sum firmware.fd kernel initrd class.toml packages.txt >SHA256SUMS)
echo "$out: $(($(cat "$out"/{firmware.fd,kernel,initrd} | wc -c) >> 20)) MiB, $(grep -o '[0-9a-f]\{96\}' "$out/class.toml")"
