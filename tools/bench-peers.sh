#!/usr/bin/env bash
# Our speed beside that of other verifiers, in one run: Keylime's checkquote (in one process), tpm2_checkquote and
# snpguest (a process each, less an empty invocation). By hand, not in CI; downloads nothing.
#
# usage: tools/bench-peers.sh QUOTE_DIR SNP_DIR
#   QUOTE_DIR  ak.pem, attest.bin, sig.bin, pcrs.bin (as tpm2_quote -o writes it), nonce.bin: RSA-2048, SHA-256
#   SNP_DIR    report.bin, and the certificates as snpguest wants them: vcek.pem, ask.pem, ark.pem
# KEYLIME_PYTHON, SNPGUEST: where those are (python3, snpguest). RUNS: processes started for each (200). PROCESSOR: milan, genoa or turin (milan).
set -euo pipefail

quote=$(realpath "${1:?usage: $0 QUOTE_DIR SNP_DIR}")
snp=$(realpath "${2:?usage: $0 QUOTE_DIR SNP_DIR}")
cd "$(dirname "$0")/.."
python=${KEYLIME_PYTHON:-python3}
snpguest=${SNPGUEST:-snpguest}
processor=${PROCESSOR:-milan}
runs=${RUNS:-200}
missing=0

ours() { # group, start of the line: microseconds
  cargo bench -q -p assay-appraisal --bench rates -- "$1" 2>/dev/null |
    sed -n "s/^$2 *[0-9.]* us *\([0-9.]*\) us.*/\1/p"
}

each() { # command...: microseconds of a run, mean of many
  local from to
  from=$(date +%s%N)
  for ((run = 0; run < runs; run++)); do "$@" >/dev/null 2>&1; done
  to=$(date +%s%N)
  echo $(((to - from) / runs / 1000))
}

line() { # name, microseconds of theirs, microseconds of ours
  awk -v name="$1" -v theirs="$2" -v ours="$3" 'BEGIN {
    printf "%-40s %10.1f us %10.1f us  ours %.1f times as fast\n", name, theirs, ours, theirs / ours }'
}

absent() {
  echo "MISSING: $1: NOT measured" >&2
  missing=1
}

printf '%-40s %13s %13s\n' "one core" theirs ours
rsa=$(ours quotes "quote, RSASSA 2048")
if "$python" -c 'from keylime.tpm import tpm_util' 2>/dev/null; then
  line "RSA-2048 quote, Keylime checkquote" "$("$python" vm-tests/foreign/bench_checkquote.py "$quote")" "$rsa"
else
  absent "Keylime (KEYLIME_PYTHON)"
fi
if command -v tpm2_checkquote >/dev/null; then
  nonce=$(od -An -v -tx1 "$quote/nonce.bin" | tr -d ' \n')
  check=(tpm2_checkquote -u "$quote/ak.pem" -m "$quote/attest.bin" -s "$quote/sig.bin" -f "$quote/pcrs.bin"
    -g sha256 -q "$nonce")
  "${check[@]}" >/dev/null || { echo "error: tpm2_checkquote refuses the quote" >&2; exit 1; }
  whole=$(each "${check[@]}")
  empty=$(each tpm2_checkquote --version)
  line "RSA-2048 quote, tpm2_checkquote" $((whole > empty ? whole - empty : 1)) "$rsa"
  line "the same, with starting the process" "$whole" "$rsa"
else
  absent "tpm2_checkquote (apt-get install tpm2-tools)"
fi
if command -v "$snpguest" >/dev/null; then
  check=("$snpguest" verify attestation -p "$processor" -s "$snp" "$snp/report.bin")
  chain=("$snpguest" verify certs "$snp")
  "${check[@]}" >/dev/null && "${chain[@]}" >/dev/null || { echo "error: snpguest refuses the report" >&2; exit 1; }
  empty=$(each "$snpguest" --version)
  theirs=$(($(each "${check[@]}") + $(each "${chain[@]}") - 2 * empty))
  line "SEV-SNP report and chain, snpguest" "$theirs" "$(ours reports "SEV-SNP report, chain new")"
  line "the same, our chain known" "$theirs" "$(ours reports "SEV-SNP report, chain known")"
else
  absent "snpguest (SNPGUEST)"
fi
exit $missing
