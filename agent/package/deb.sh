# Sourced by the builds of Debian packages. Expects `repository`, and `out` for where the package goes.

export LC_ALL=C SOURCE_DATE_EPOCH=1767225600

# Begins a package with its program: sets `tree`, `package` and `version`.
prepare() { # name of package and program, version or nothing, how the program is built
  local program=${ASSAY_PROGRAMS:-$repository/target/release}/$1
  package=$1 version=${2:-$(sed -n 's/^version = "\(.*\)"/\1/p' "$repository/Cargo.toml" | head -1)}
  [[ -x $program ]] || { echo "error: $program is not built" >&2; echo "hint: $3" >&2; exit 1; }
  [[ $version =~ ^[0-9][0-9A-Za-z.+~-]*$ ]] || { echo "error: expected a Debian version, got $version" >&2; exit 1; }
  tree=$(mktemp -d)
  trap 'rm -rf "$tree"' EXIT
  chmod 755 "$tree"
  install -D -m 755 "$program" "$tree/usr/bin/$1"
  strip --strip-unneeded "$tree/usr/bin/$1"
  install -D -m 644 "$repository/LICENSE" "$tree/usr/share/doc/$1/copyright"
}

# Packs it, with the maintainer scripts of a folder and the rest of the control file from stdin.
pack() { # folder
  install -d -m 755 "$tree/DEBIAN"
  install -m 755 -t "$tree/DEBIAN" "$1"/{postinst,prerm,postrm}
  {
    printf 'Package: %s\nVersion: %s\nArchitecture: amd64\n' "$package" "$version"
    printf 'Maintainer: Assay <assay@example.org>\nSection: admin\nPriority: optional\n'
    cat
  } >"$tree/DEBIAN/control"
  find "$tree" -mindepth 1 -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
  mkdir -p "$out"
  dpkg-deb --root-owner-group --build "$tree" "$out/${package}_${version}_amd64.deb" >/dev/null
  echo "$out/${package}_${version}_amd64.deb"
}
