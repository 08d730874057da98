# Sourced by scripts that take files out of Debian packages without installing them.

# Unpacks packages below a folder. What was downloaded before is not downloaded again. Prints name, version and digest
# of each. Root is not needed.
debian_unpack() { # folder, packages...
  local folder=$1 cache=$PWD/target/image-packages package file
  shift
  mkdir -p "$folder" "$cache"
  (cd "$cache" && apt-get -qq -o APT::Sandbox::User=root download "$@" >&2) || {
    echo "error: a package cannot be downloaded: $*" >&2
    echo "hint: apt-get update" >&2
    return 1
  }
  for package in "$@"; do
    file=$(find "$cache" -name "${package}_*.deb" -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2)
    [[ -n $file ]] || { echo "error: package $package was not downloaded" >&2; return 1; }
    dpkg-deb -x "$file" "$folder"
    echo "$(dpkg-deb -f "$file" Package) $(dpkg-deb -f "$file" Version) sha256:$(sha256sum <"$file" | cut -d' ' -f1)"
  done
}

# The package of the newest kernel of a flavour.
debian_kernel() { # flavour
  local kernel
  kernel=$(apt-cache depends "linux-image-$1" | awk '$1 == "Depends:" { print $2; exit }')
  [[ -n $kernel ]] || {
    echo "error: no kernel linux-image-$1 is known" >&2
    echo "hint: apt-get update" >&2
    return 1
  }
  echo "$kernel"
}
