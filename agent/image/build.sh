#!/usr/bin/env bash
# Builds the flashable image: a raw UEFI disk whose boot is measured from the first byte that is ours.
#
#   agent/image/build.sh --out DIR [--config FILE] [--sign KEY CERT] [--flavour amd64|cloud-amd64] [--state-mib N]
#
# DIR gets assay.img (the disk), assay.efi (the unified kernel image on it), class.toml (the reference values for
# hardware classes), packages.txt (what went in) and SHA256SUMS. Twice the same packages and programs give the same
# bytes. Root is not needed.
#   --config     the node's agent.toml for the EFI system partition; it can be put there later (see README)
#   --sign       signs assay.efi for Secure Boot with the operator's key and certificate (PEM)
#   --flavour    Debian's kernel for hardware (amd64, the default) or its small one for virtual machines (cloud-amd64)
#   --state-mib  size of the state partition, 512 by default
#
# What is on the disk (GPT names; the init finds them by these):
#   assay-esp     FAT: EFI/BOOT/BOOTX64.EFI and assay/agent.toml
#   assay-root    squashfs: the agent, its libraries, three tools; no shell
#   assay-verity  its hash tree; the root hash is on the kernel's command line, inside the signed and measured image
#   assay-state   zeros; becomes ext4 at the first boot
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
# shellcheck source=tools/debian-packages.sh
source "$repository/tools/debian-packages.sh"
# shellcheck source=agent/image/tree.sh
source "$here/tree.sh"

readonly TYPE_ESP=c12a7328-f81f-11d2-ba4b-00a0c93ec93b
readonly TYPE_ROOT=4f68bce3-e8cd-4db1-96e7-fbcaf984b709
readonly TYPE_VERITY=2c7357ed-ebd2-46d9-aec1-23d437ec2bf5
readonly TYPE_LINUX=0fc63daf-8483-4772-8e79-3d69d8477de4
# Everything that opens a door shut: see the init's `closing`.
readonly COMMAND_LINE='ro lockdown=confidentiality module.sig_enforce=1 console=tty0 console=ttyS0 panic=60 loglevel=4'
# Programs and the Debian packages they come from.
readonly INITIAL=(/usr/sbin/veritysetup /usr/sbin/modprobe)
readonly ROOT=(/usr/sbin/mke2fs /usr/sbin/ip)
readonly PACKAGES=("${AGENT_PACKAGES[@]}" "${MODPROBE_PACKAGES[@]}" cryptsetup-bin e2fsprogs iproute2 systemd-boot-efi
  libargon2-1 libblkid1 libbpf1 libbsd0 libcap2 libcom-err2 libcryptsetup12 libdevmapper1.02.1 libelf1 libext2fs2
  libjson-c5 libmd0 libmnl0 libpcre2-8-0 libpopt0 libselinux1 libudev1 libuuid1 zlib1g)
# Loaded through a name made at run time, which no list of linked libraries shows.
readonly PLUGINS=(libtss2-tcti-device.so.0)

out='' config='' key='' certificate='' flavour=amd64 state_mib=512

usage() {
  sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0" >&2
  exit 64
}

arguments() {
  while (($# > 0)); do
    case $1 in
      --out | --config | --flavour | --state-mib) (($# > 1)) || usage ;;&
      --out) out=$2 && shift 2 ;;
      --config) config=$2 && shift 2 ;;
      --flavour) flavour=$2 && shift 2 ;;
      --state-mib) state_mib=$2 && shift 2 ;;
      --sign) (($# > 2)) && key=$2 certificate=$3 && shift 3 || usage ;;
      *) usage ;;
    esac
  done
  [[ -n $out ]] || usage
  [[ $flavour == amd64 || $flavour == cloud-amd64 ]] || fail "flavour: expected amd64 or cloud-amd64, got $flavour"
  [[ $state_mib =~ ^[1-9][0-9]{0,6}$ ]] || fail "state-mib: expected a number of MiB, got $state_mib"
  [[ -z $config || -r $config ]] || fail "$config: cannot be read" "name the node's agent.toml with --config"
  [[ -z $key || (-r $key && -r $certificate) ]] || fail "$key, $certificate: expected a key and a certificate, PEM"
}

# Modules of disks, network cards and the few the init names.
readonly DRIVERS=(dm-verity squashfs vfat nls_cp437 nls_ascii ext4 crc32c_generic crc32c_intel sha256_ssse3
  virtio_pci virtio_blk virtio_net virtio_scsi sd_mod nvme ahci
  mpt3sas megaraid_sas hpsa e1000 e1000e igb igc ixgbe i40e ice bnxt_en tg3 mlx4_en mlx5_core r8169 xhci_pci usbhid)

initial_file_system() { # kernel version
  local tree=$work/initial program
  skeleton "$tree"
  for program in "${INITIAL[@]}"; do put "$tree" "$program"; done
  put "$tree" "$programs/assay-init" /init
  modules "$tree" "$1" "${DRIVERS[@]}"
  settle "$tree"
  archive "$tree" "$work/initrd"
}

root_file_system() {
  local tree=$work/root program plugin
  skeleton "$tree"
  mkdir -p "$tree/var/lib/assay-agent"
  for program in "${ROOT[@]}"; do put "$tree" "$program"; done
  put "$tree" "$programs/assay-agent" /usr/bin/assay-agent
  for plugin in "${PLUGINS[@]}"; do library "$tree" "$plugin"; done
  printf 'root:x:0:0:root:/:/nonexistent\nassay:x:990:990:agent:/var/lib/assay-agent:/nonexistent\n' >"$tree/etc/passwd"
  printf 'root:x:0:\nassay:x:990:\n' >"$tree/etc/group"
  settle "$tree"
  mksquashfs "$tree" "$work/root.squashfs" -quiet -no-progress -noappend -all-root -comp zstd -processors 1 \
    >/dev/null
  # A whole number of 4 KiB blocks, as the hash tree wants it.
  truncate -s %4096 "$work/root.squashfs"
}

# The salt and the identifiers are constants; what protects is the hash.
verity() {
  veritysetup format --salt "$(printf '00%.0s' {1..32})" --uuid 00000000-0000-4000-8000-000000000001 \
    "$work/root.squashfs" "$work/root.verity" | awk '/^Root hash:/ { print $3 }'
}

# Sections at free places behind those of the stub, as ukify does.
unified_kernel() { # kernel version, command line
  local stub=$work/debian/usr/lib/systemd/boot/efi/linuxx64.efi.stub
  printf 'NAME="Assay"\nID=assay\nVERSION_ID=%s\n' "$1" >"$work/os-release"
  printf '%s' "$2" >"$work/command-line"
  local at=0 arguments=() section file size address
  while read -r size address; do
    (((16#$size + 16#$address) < at)) || at=$((16#$size + 16#$address))
  done < <(objdump -h "$stub" | awk 'NF == 7 && $1 ~ /^[0-9]+$/ { print $3, $4 }')
  at=$(((at + 4095) / 4096 * 4096))
  for section in osrel:os-release cmdline:command-line linux:kernel initrd:initrd; do
    file=$work/${section#*:} size=$(stat -c %s "$work/${section#*:}")
    arguments+=(--add-section ".${section%%:*}=$file" --change-section-vma ".${section%%:*}=$(printf '0x%x' "$at")")
    at=$(((at + size + 4095) / 4096 * 4096))
  done
  objcopy "${arguments[@]}" "$stub" "$work/assay.efi"
  # objcopy writes the time of day into the header, and a checksum over that; nobody reads either.
  local header
  header=$(od -An -t u4 -j 60 -N 4 "$work/assay.efi")
  zeros $((header + 8)) && zeros $((header + 24 + 64))
  # What signs it would fill it up to this, and the hash covers that.
  truncate -s %8 "$work/assay.efi"
}

zeros() { # offset: four bytes of the unified kernel image
  printf '\0\0\0\0' | dd of="$work/assay.efi" bs=1 seek="$1" conv=notrunc status=none
}

disk() {
  local image=$out/assay.img sectors=2048 esp_mib root_mib verity_mib
  esp_mib=$((($(stat -c %s "$work/assay.efi") >> 20) + 36))
  root_mib=$((($(stat -c %s "$work/root.squashfs") >> 20) + 1))
  verity_mib=$((($(stat -c %s "$work/root.verity") >> 20) + 1))
  rm -f "$image"
  truncate -s $((esp_mib + root_mib + verity_mib + state_mib + 2))M "$image"
  {
    echo 'label: gpt'
    echo 'label-id: 00000000-0000-4000-8000-000000000010'
    echo 'unit: sectors'
    part() { # name, type, MiB, number
      echo "start=$sectors, size=$(($3 * 2048)), type=$2, name=\"$1\", uuid=00000000-0000-4000-8000-00000000002$4"
      sectors=$((sectors + $3 * 2048))
    }
    part assay-esp "$TYPE_ESP" "$esp_mib" 1
    part assay-root "$TYPE_ROOT" "$root_mib" 2
    part assay-verity "$TYPE_VERITY" "$verity_mib" 3
    part assay-state "$TYPE_LINUX" "$state_mib" 4
  } >"$work/table"
  sfdisk --quiet "$image" <"$work/table"
  esp "$esp_mib"
  place "$work/esp" 1
  place "$work/root.squashfs" $((1 + esp_mib))
  place "$work/root.verity" $((1 + esp_mib + root_mib))
}

place() { # file, MiB
  dd if="$1" of="$out/assay.img" bs=1M seek="$2" conv=notrunc,sparse status=none
}

esp() { # MiB
  truncate -s "$1"M "$work/esp"
  mkfs.vfat -F 32 -n ASSAY --invariant "$work/esp" >/dev/null
  mmd -i "$work/esp" ::/EFI ::/EFI/BOOT ::/assay
  touch --date "$STAMP" "$work/assay.efi"
  mcopy -m -i "$work/esp" "$work/assay.efi" ::/EFI/BOOT/BOOTX64.EFI
  if [[ -n $config ]]; then
    cp "$config" "$work/agent.toml"
    touch --date "$STAMP" "$work/agent.toml"
    mcopy -m -i "$work/esp" "$work/agent.toml" ::/assay/agent.toml
  fi
}

arguments "$@"
mkdir -p "$out"
out=$(cd "$out" && pwd)
[[ -z $config ]] || config=$(realpath "$config")
[[ -z $key ]] || key=$(realpath "$key") certificate=$(realpath "$certificate")
cd "$repository"
programs=${ASSAY_PROGRAMS:-$repository/target/release}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/debian"
for program in assay-init assay-agent assay-image-values; do
  [[ -x $programs/$program ]] || fail "$programs/$program is not built" "make image builds it"
done

echo "==> packages"
kernel=$(debian_kernel "$flavour")
debian_unpack "$work/debian" "$kernel" "${PACKAGES[@]}" >"$work/packages"
version=${kernel#linux-image-}
cp "$work/debian/boot/vmlinuz-$version" "$work/kernel"

echo "==> root file system"
root_file_system
hash=$(verity)
[[ $hash =~ ^[0-9a-f]{64}$ ]] || fail "veritysetup: expected a root hash, got ${hash:-nothing}"

echo "==> unified kernel image"
initial_file_system "$version"
unified_kernel "$version" "roothash=$hash $COMMAND_LINE"
"$programs/assay-image-values" image "$work/assay.efi" >"$out/class.toml"
if [[ -n $key ]]; then
  sbsign --key "$key" --cert "$certificate" --output "$work/signed.efi" "$work/assay.efi" 2>/dev/null
  mv "$work/signed.efi" "$work/assay.efi"
fi

echo "==> disk"
disk
cp "$work/assay.efi" "$out/assay.efi"
sort "$work/packages" >"$out/packages.txt"
(cd "$out" && sha256sum assay.img assay.efi class.toml packages.txt >SHA256SUMS)
echo "$out/assay.img: $(($(stat -c %s "$out/assay.img") >> 20)) MiB, root hash $hash"
