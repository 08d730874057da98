#!/usr/bin/env bash
# Installs what building, testing and the demo need: Debian packages through apt when this is root or
# sudo asks for no password, else it prints the one command to run. Says nothing when nothing is missing.
set -euo pipefail

# g++: libFuzzer. gnutls-bin: swtpm's local CA. openssl, tpm2-tools, python3-venv: foreign checks.
packages=(g++ pkg-config libtss2-dev libtss2-tcti-swtpm0 swtpm swtpm-tools gnutls-bin tpm2-tools openssl python3-venv)
# What the flashable image is made with, and what the machines of the tests are made of.
packages+=(binutils mmdebstrap cpio cryptsetup-bin dosfstools fdisk kmod mtools sbsigntool squashfs-tools zstd)
packages+=(ovmf qemu-system-x86)
# A private database server for the bridge's tests.
packages+=(postgresql-15)

installed() {
  [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

missing_packages() {
  local package
  for package in "${packages[@]}"; do
    installed "$package" || echo "$package"
  done
  # Node.js often comes from elsewhere, and Debian's npm conflicts with it: ask for the commands.
  command -v node >/dev/null || echo nodejs
  command -v npm >/dev/null || echo npm
}

install() {
  export DEBIAN_FRONTEND=noninteractive
  echo "==> installing: $*"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

command -v cargo >/dev/null || {
  echo "error: cargo is not installed" >&2
  echo "hint: install rustup (https://rustup.rs); rust-toolchain.toml names the version" >&2
  exit 1
}
command -v dpkg-query >/dev/null || {
  echo "error: this is not Debian; expected the equivalents of: ${packages[*]} nodejs npm" >&2
  exit 1
}

mapfile -t missing < <(missing_packages)
((${#missing[@]} == 0)) && exit 0

if ((EUID == 0)); then
  as_root=()
elif sudo -n true 2>/dev/null; then
  as_root=(sudo -n --preserve-env=DEBIAN_FRONTEND)
else
  echo "error: missing Debian packages, and neither root nor password-less sudo is here" >&2
  echo "hint: sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
install "${missing[@]}"
