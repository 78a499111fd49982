"""Encrypts what a file holds. The one module that imports the cryptography package, and only once there is a key. Opens no file.

FLSEALED | length of the head, 2 bytes | head, JSON | nonce, 12 bytes | body, encrypted, with its tag of 16 bytes

ChaCha20-Poly1305 (RFC 8439): a Pi before the Pi 5 has no AES instructions. Anyone can read the head, but it is authenticated with the
body: a changed head is as much an error as a changed body. Nonces are random: even among 2^32 files of one key, one comes twice with a
chance of only 2^-33.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from edge.contract.errors import PackageMissing

MAGIC = b"FLSEALED"
KEY_BYTES = 32
_NONCE_BYTES, _TAG_BYTES, _LENGTH_BYTES = 12, 16, 2
_CIPHER = "ChaCha20-Poly1305"


@dataclass(frozen=True, slots=True)
class Sealed:
    """The parts of sealed data, not yet decrypted: trust none of them before `unseal` has succeeded."""

    head: dict[str, Any]
    bound: bytes
    nonce: bytes
    body: bytes


def seal(key: bytes, head: dict[str, Any], body: bytes) -> bytes:
    """Encrypts `body` with a key of KEY_BYTES and binds it to `head`.

    Raises:
        PackageMissing: cryptography is not installed.
    """
    written = json.dumps(head | {"cipher": _CIPHER}).encode()
    bound = MAGIC + len(written).to_bytes(_LENGTH_BYTES, "little") + written
    nonce = os.urandom(_NONCE_BYTES)
    return bound + nonce + bytes(_cipher(key).encrypt(nonce, body, bound))


def take_apart(data: bytes) -> Sealed:
    """The parts of what `seal` made.

    Raises:
        ValueError: it does not have this form, or uses a cipher that this version does not know.
    """
    start = len(MAGIC) + _LENGTH_BYTES
    end = start + int.from_bytes(data[len(MAGIC) : start], "little")
    if not data.startswith(MAGIC) or len(data) < end + _NONCE_BYTES + _TAG_BYTES:
        raise ValueError("cut off")
    head = json.loads(data[start:end])
    if not isinstance(head, dict) or head.get("cipher") != _CIPHER:
        raise ValueError("of another version")
    return Sealed(head, data[:end], data[end : end + _NONCE_BYTES], data[end + _NONCE_BYTES :])


def unseal(key: bytes, sealed: Sealed) -> bytes:
    """Decrypts and returns the body.

    Raises:
        ValueError: head, body or both are not what was sealed with this key.
        PackageMissing: cryptography is not installed.
    """
    cipher = _cipher(key)
    from cryptography.exceptions import InvalidTag

    try:
        return bytes(cipher.decrypt(sealed.nonce, sealed.body, sealed.bound))
    except InvalidTag:
        raise ValueError("not what was encrypted with this key") from None


def _cipher(key: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    except ImportError as error:
        raise PackageMissing(
            "templates are encrypted, which needs cryptography: apt install python3-cryptography, or pip install cryptography"
        ) from error
    return ChaCha20Poly1305(key)
