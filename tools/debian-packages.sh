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

# The same from Debian's testing suite, for what the stable one does not have yet. Nothing is installed, and the lists of
# this machine stay as they are.
debian_unpack_testing() { # folder, packages...
  local apt=$PWD/target/testing-apt mirror=http://deb.debian.org/debian
  mkdir -p "$apt/lists/partial" "$apt/cache"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror testing main" >"$apt/sources.list"
  printf 'Dir::Etc::SourceList "%s";\nDir::Etc::SourceParts "/dev/null";\nDir::State::Lists "%s";\nDir::Cache "%s";\n' \
    "$apt/sources.list" "$apt/lists" "$apt/cache" >"$apt/apt.conf"
  # What testing had a day ago may be gone.
  if [[ -z $(find "$apt/updated" -mtime 0 2>/dev/null) ]]; then
    APT_CONFIG=$apt/apt.conf apt-get -qq -o APT::Sandbox::User=root -o Acquire::Languages=none update >&2 || return 1
    touch "$apt/updated"
  fi
  APT_CONFIG=$apt/apt.conf debian_unpack "$@"
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
