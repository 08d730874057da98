# Sourced by the scripts that build images for the tests.

# Builds into a folder, twice, when the build or what goes into it changed since the last time: what was published can be
# built by whoever doubts it.
built_twice() { # folder, build script, other files that count...
  local out=$1 build=$2 stamp
  shift 2
  stamp=$(cat "$build" tools/debian-packages.sh "$@" | sha256sum)
  [[ ! -f $out/stamp || $stamp != "$(cat "$out/stamp")" ]] || return 0
  rm -f "$out/stamp"
  "$build" --out "$out"
  "$build" --out "$out-again"
  diff "$out/SHA256SUMS" "$out-again/SHA256SUMS" || {
    echo "error: two builds of $out differ: expected the same digests, got those above" >&2
    return 1
  }
  rm -r "$out-again"
  echo "$stamp" >"$out/stamp"
}
