#!/usr/bin/env bash
# A small Debian system as a tar file, for the tests that install things. Made once.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly OUT=target/debian-base.tar
[[ ! -s $OUT ]] || exit 0
if ((EUID != 0)); then
  echo "NOT MADE: only root can set up a system in a folder" >&2
  exit 0
fi
mmdebstrap --mode=root --variant=apt --include=adduser bookworm "$OUT.new" http://deb.debian.org/debian
mv "$OUT.new" "$OUT"
