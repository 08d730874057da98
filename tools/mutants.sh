#!/usr/bin/env bash
# Mutation tests of the appraisal crate: each check is removed, inverted or shifted in turn, and a test must fail.
#   tools/mutants.sh all                    every mutant: hours
#   tools/mutants.sh changed [BASE]         those in lines changed since BASE (default: where this left main)
#   tools/mutants.sh slice K/N              every Nth, from the Kth (0 is the first)
#   tools/mutants.sh files PATTERN...       those of files, as 'snp/verify.rs' or 'x509/*'
#   tools/mutants.sh ci                     those of the files that decide the tiers, small enough for every run
#
# Prints how many were caught, ran into the time limit (which is caught too), did not compile, and were missed. Lists
# are in target/mutants/mutants.out.
#
# What survives must be in .cargo/mutants.toml with its reason, or this fails. New files are not in a git diff before
# `git add -N`. MUTANTS_MAX=COUNT bounds `changed`: beyond it an even sample is taken. MUTANTS_BASELINE=skip trusts
# that the tests pass as they are. The tests to run can be narrowed after `--`, as in `files 'snp/*' -- snp::`;
# a mutant that then survives may still be caught by the others.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly VERSION=27.1.0
readonly CRATE=attestation-verifier/appraisal
readonly OUT=$PWD/target/mutants
readonly DIFF=$OUT/changed.diff
# For `ci`: what compares with the class and the chassis. About 15 s a mutant on two cores, and two minutes of building.
readonly CI_FILES=(appraise/references.rs appraise/chassis.rs)
# A mutant that loops dies here. The tests take 20 s on two cores.
readonly TEST_SECONDS_MAX=${MUTANTS_TEST_SECONDS_MAX:-240}

usage() {
  sed -n 's/^#   //p' tools/mutants.sh >&2
  exit 64
}

install_tool() {
  cargo mutants --version >/dev/null 2>&1 || cargo install --locked "cargo-mutants@$VERSION"
}

# Where this branch left main, or the commit before where this is main.
merge_base() {
  local main base
  for main in origin/main main; do
    base=$(git merge-base HEAD "$main" 2>/dev/null) || continue
    [[ $base != "$(git rev-parse HEAD)" ]] || base=$(git rev-parse --verify --quiet HEAD^) || continue
    echo "$base"
    return
  done
  return 1
}

count() { # selection...: how many mutants it has
  cargo mutants --list --package assay-appraisal "$@" | wc -l
}

run() { # arguments of cargo mutants...
  local tests=() code=0
  ((${#narrowed[@]} == 0)) || tests=(-- "${narrowed[@]}")
  # Its own build folder, not the house's: what is compiled there is broken on purpose.
  export CARGO_TARGET_DIR=$OUT/build
  cargo clean --quiet --package assay-appraisal 2>/dev/null || true
  cargo mutants --package assay-appraisal --test-package assay-appraisal --test-tool "$test_tool" \
    --timeout "$TEST_SECONDS_MAX" --baseline "${MUTANTS_BASELINE:-run}" --output "$OUT" --no-times \
    "$@" "${tests[@]}" || code=$?
  # 2 is a mutant that survived, 3 one that was stopped by the time limit: it was noticed.
  case $code in
    0 | 2 | 3) report ;;
    *)
      echo "error: cargo mutants ended with $code: the tests fail without any mutant, or it could not build" >&2
      return "$code"
      ;;
  esac
}

report() {
  local results=$OUT/mutants.out kind
  for kind in caught timeout unviable missed; do
    printf '%-9s%6d\n' "$kind" "$(wc -l <"$results/$kind.txt")"
  done
  if [[ -s $results/missed.txt ]]; then
    echo "error: no test fails when these are done:" >&2
    cat "$results/missed.txt" >&2
    echo "hint: write the negative test; a mutant that changes nothing goes into .cargo/mutants.toml with its reason" >&2
    return 1
  fi
}

# Leaves the difference to a commit in a file and says how many mutants it has.
changed_since() { # base
  git diff --no-ext-diff --src-prefix=a/ --dst-prefix=b/ "$1" -- "$CRATE/src" >"$DIFF"
  if [[ -s $DIFF ]]; then count --in-diff "$DIFF"; else echo 0; fi
}

changed() { # [base]
  local base found max=${MUTANTS_MAX:-0}
  base=${1:-$(merge_base)} || {
    echo "error: git knows no main to compare with" >&2
    echo "hint: tools/mutants.sh changed BASE, or a slice" >&2
    return 1
  }
  found=$(changed_since "$base")
  echo "$found mutants in what changed since $(git rev-parse --short "$base")"
  if ((found == 0)); then
    return
  elif ((max > 0 && found > max)); then
    local every=$(((found + max - 1) / max))
    echo "NOT ALL TESTED: every ${every}th of them, because there are more than $max"
    run --in-diff "$DIFF" --sharding round-robin --shard "0/$every"
  else
    run --in-diff "$DIFF"
  fi
}

slice() { # K/N
  [[ $1 =~ ^[0-9]+/[1-9][0-9]*$ ]] || usage
  run --sharding round-robin --shard "$1"
}

files() { # patterns...
  local selection=() pattern
  (($# > 0)) || usage
  for pattern in "$@"; do
    selection+=(--file "$CRATE/src/$pattern")
  done
  run "${selection[@]}"
}

mode=${1:-}
shift || usage
asked=() narrowed=()
while (($# > 0)); do
  if [[ $1 == -- ]]; then
    shift
    narrowed=("$@")
    break
  fi
  asked+=("$1")
  shift
done

mkdir -p "$OUT"
install_tool
# The next-generation runner stops at the first failure, which is all that is asked here.
test_tool=cargo
! cargo nextest --version >/dev/null 2>&1 || test_tool=nextest
# Mutants are tested in a copy of the repository, from which the reference data is not beside it.
if [[ -z ${ASSAY_VECTORS:-} && -d ../shared/vectors ]]; then
  ASSAY_VECTORS=$(realpath ../shared/vectors)
  export ASSAY_VECTORS
fi

case $mode in
  all) run ;;
  changed) changed "${asked[@]}" ;;
  slice) slice "${asked[0]:-}" ;;
  ci) files "${CI_FILES[@]}" ;;
  files) files "${asked[@]}" ;;
  *) usage ;;
esac
