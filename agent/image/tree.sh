# Sourced by the builds of images: file systems from Debian packages, the same bytes from the same packages.
#
# Expects `work`, a folder with the unpacked packages in `work/debian`, and `programs`, that of our own ones.

export LC_ALL=C TZ=UTC
# A constant: time is not part of an image.
export SOURCE_DATE_EPOCH=1767225600
readonly STAMP='2026-01-01 00:00:00'
# What our own programs and modprobe are linked with.
readonly AGENT_PACKAGES=(libc6 libgcc-s1 libssl3
  libtss2-esys-3.0.2-0 libtss2-mu0 libtss2-sys1 libtss2-tctildr0 libtss2-tcti-device0 libtss2-tcti-swtpm0)
readonly MODPROBE_PACKAGES=(kmod liblzma5 libzstd1)

fail() {
  echo "error: $1" >&2
  [[ -z ${2:-} ]] || echo "hint: $2" >&2
  exit 1
}

# A program or library with all it links, into a tree with /usr merged.
put() { # tree, path in $work/debian or a host path for our own programs
  local tree=$1 path=$2 from library
  from=$work/debian$path
  [[ -e $from ]] || from=$work/debian/${path#/usr}
  [[ -e $from ]] || from=$path
  [[ -e $from ]] || fail "$path is in none of the packages"
  install -D -m 755 "$(realpath "$from")" "$tree${3:-$path}"
  needed "$from" | while read -r library; do
    library "$tree" "$library"
  done
}

needed() { # ELF file
  objdump -p "$1" 2>/dev/null | awk '$1 == "NEEDED" { print $2 }'
}

library() { # tree, soname
  local tree=$1 name=$2 found
  [[ ! -e $tree/usr/lib/x86_64-linux-gnu/$name ]] || return 0
  found=$(find "$work/debian" \( -path '*/lib/x86_64-linux-gnu/*' -o -path '*/lib64/*' \) -name "$name" | sort | head -1)
  [[ -n $found ]] || fail "$name is in none of the packages"
  found=$(readlink -f "$found" || true)
  # Links of the package are absolute now and then.
  [[ -e $found ]] || found=$work/debian$found
  install -D -m 755 "$found" "$tree/usr/lib/x86_64-linux-gnu/$name"
  needed "$found" | while read -r name; do
    library "$tree" "$name"
  done
}

skeleton() { # tree
  local tree=$1
  mkdir -p "$tree"/{dev,proc,sys,run,usr/lib64,usr/lib,usr/bin,usr/sbin,etc,var/lib,tmp}
  ln -s usr/lib "$tree/lib"
  ln -s usr/lib64 "$tree/lib64"
  ln -s usr/bin "$tree/bin"
  ln -s usr/sbin "$tree/sbin"
  library "$tree" ld-linux-x86-64.so.2
  ln -s ../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 "$tree/usr/lib64/ld-linux-x86-64.so.2"
  library "$tree" libc.so.6
}

# The modules named, with what they need, and the lists that modprobe reads. A flavour has not all of them.
modules() { # tree, kernel version, modules...
  local tree=$1 version=$2 from=$work/debian/lib/modules/$2 module path
  shift 2
  mkdir -p "$tree/usr/lib/modules/$version"
  cp "$from"/modules.{builtin,order} "$tree/usr/lib/modules/$version/"
  [[ ! -e $from/modules.builtin.modinfo ]] || cp "$from/modules.builtin.modinfo" "$tree/usr/lib/modules/$version/"
  depmod -b "$work/debian" "$version"
  for module in "$@"; do
    { modprobe -d "$work/debian" -S "$version" --show-depends "$module" 2>/dev/null || true; } |
      awk '$1 == "insmod" { print $2 }' | while read -r path; do
      install -D -m 644 "$path" "$tree/usr/lib/modules/$version/${path#*"$version"/}"
    done
  done
  depmod -b "$tree/usr" "$version" 2>/dev/null || depmod -b "$tree" "$version"
}

settle() { # tree: one time for everything
  find "$1" -exec touch --no-dereference --date "$STAMP" {} +
}

# The tree as an initial file system.
archive() { # tree, file
  (cd "$1" && find . -print0 | sort -z | cpio --null --create --format=newc --quiet --reproducible --owner=0:0) |
    zstd -q -19 -T1 >"$2"
}
