"""Verifies Assay's signed objects with other people's CBOR and COSE libraries.

usage: verify_cose.py FOLDER

FOLDER holds key.bin (a raw Ed25519 public key) and *.cose files. Prints one JSON object per file name:
{"typ", "subject", "payload"} where the signature and the header hold, {"refused": why} where they do not.
Nothing here knows Assay's encoders: keys and labels are those of protocol/cddl/assay.cddl.
"""

import hashlib
import json
import pathlib
import sys

import cbor2
from pycose.headers import KID, Algorithm
from pycose.keys import OKPKey
from pycose.keys.curves import Ed25519
from pycose.messages import Sign1Message

CWT_CLAIMS, TYP, CMW_DIGEST, CMW = 15, 16, -70001, -70002
ISSUER, SUBJECT = 1, 2
EVIDENCE = 'application/eat+cwt; eat_profile="tag:assay.example,2026:evidence/1"'


def verify(data: bytes, public_key: bytes) -> dict:
    message = Sign1Message.decode(data)
    message.key = OKPKey(crv=Ed25519, x=public_key)
    if not message.verify_signature():
        raise ValueError("the signature does not verify")
    header = message.phdr
    if header[Algorithm].fullname != "EDDSA":
        raise ValueError(f"algorithm {header[Algorithm]}")
    if header[KID] != hashlib.sha256(public_key).digest():
        raise ValueError("kid is not the key's digest")
    if header[CWT_CLAIMS][ISSUER] != f"ed25519:{public_key.hex()}":
        raise ValueError("iss is not the key")
    payload = cbor2.loads(message.payload)
    shown = {"typ": header[TYP], "subject": header[CWT_CLAIMS][SUBJECT], "payload": payload}
    if header[TYP] == EVIDENCE:
        shown["vendor"] = vendor_evidence(message)
    return shown


def vendor_evidence(message: Sign1Message) -> dict:
    """The CMW collection beside the claims: media type and length of each part."""
    collection = message.uhdr[CMW]
    if hashlib.sha256(collection).digest() != message.phdr[CMW_DIGEST]:
        raise ValueError("the CMW collection is not the one signed")
    return {label: [media, len(value)] for label, (media, value) in cbor2.loads(collection).items()}


def plain(value):
    """JSON has no byte strings and no integer keys."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value


def outcome(path: pathlib.Path, public_key: bytes) -> dict:
    try:
        return plain(verify(path.read_bytes(), public_key))
    except Exception as error:  # whatever a foreign library raises is a refusal
        return {"refused": f"{type(error).__name__}: {error}"}


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    public_key = (folder / "key.bin").read_bytes()
    print(json.dumps({path.name: outcome(path, public_key) for path in sorted(folder.glob("*.cose"))}))


main()
