"""How many quotes a second Keylime's `tpm_util.checkquote` verifies, in one process.

usage: bench_checkquote.py DIR, with ak.pem, attest.bin, sig.bin, pcrs.bin (as tpm2_quote -o writes it) and nonce.bin.
Prints microseconds per quote: the median of eleven rounds.
"""

import statistics
import sys
import time
from pathlib import Path

from keylime.tpm import tpm_util

ROUNDS = 11
ROUND_S = 0.2


def main() -> None:
    directory = Path(sys.argv[1])
    files = ["ak.pem", "nonce.bin", "sig.bin", "attest.bin", "pcrs.bin"]
    key, nonce, signature, attest, pcrs = [(directory / name).read_bytes() for name in files]

    def check() -> None:
        tpm_util.checkquote(key, nonce, signature, attest, pcrs, "sha256")

    times = []
    for _ in range(ROUNDS):
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < ROUND_S:
            check()
            count += 1
        times.append((time.perf_counter() - start) / count)
    print(f"{statistics.median(times) * 1e6:.2f}")


if __name__ == "__main__":
    main()
