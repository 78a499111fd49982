"""The format of encrypted data: unsealing gives exactly what was sealed, or fails."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edge.contract.errors import PackageMissing
from edge.seal import KEY_BYTES, MAGIC, seal, take_apart, unseal

KEY = bytes(range(KEY_BYTES))
HEAD = {"key": "0123", "name": "ada"}


def test_what_is_sealed_is_unsealed() -> None:
    data = seal(KEY, HEAD, b"templates")
    parts = take_apart(data)
    assert data.startswith(MAGIC)
    assert parts.head == HEAD | {"cipher": "ChaCha20-Poly1305"}
    assert unseal(KEY, parts) == b"templates"
    assert b"templates" not in data


def test_the_cipher_is_that_of_the_standard() -> None:
    """The test vector of RFC 8439, section 2.8.2: its ciphertext and tag are opened with its key, nonce and associated data."""
    from edge.seal import Sealed

    key = bytes(range(0x80, 0xA0))
    nonce = bytes.fromhex("070000004041424344454647")
    bound = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    body = bytes.fromhex(
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b6"
        "7ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b6116"
        "1ae10b594f09e26a7e902ecbd0600691"
    )
    text = unseal(key, Sealed({}, bound, nonce, body))
    assert text.startswith(b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip")


def test_the_same_text_is_never_the_same_twice() -> None:
    assert len({seal(KEY, HEAD, b"templates") for _ in range(50)}) == 50


@pytest.mark.parametrize("cut", [0, 3, len(MAGIC), len(MAGIC) + 1, 20, -1, -30])
def test_what_is_cut_off_is_an_error(cut: int) -> None:
    data = seal(KEY, HEAD, b"x")[:cut]
    with pytest.raises(ValueError, match=r"cut off|not what was encrypted|Expecting|Unterminated"):
        unseal(KEY, take_apart(data))


def test_another_key_opens_nothing() -> None:
    with pytest.raises(ValueError, match="not what was encrypted with this key"):
        unseal(bytes(KEY_BYTES), take_apart(seal(KEY, HEAD, b"templates")))


def test_a_head_of_another_version_is_not_guessed_at() -> None:
    data = seal(KEY, HEAD, b"x")
    with pytest.raises(ValueError, match="of another version"):
        take_apart(data.replace(b"ChaCha20-Poly1305", b"ChaCha21-Poly1305"))
    with pytest.raises(ValueError, match="cut off"):
        take_apart(data.replace(MAGIC, b"FLSEALEX"))


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(PackageMissing, match="apt install python3-cryptography"):
        seal(KEY, HEAD, b"x")


def test_a_plain_gallery_never_loads_the_package() -> None:
    code = (
        "import sys, tempfile, pathlib, numpy as np\nfrom edge.gallery import Gallery, new_subject\nimport edge.cli.people\n"
        "gallery = Gallery(pathlib.Path(tempfile.mkdtemp()))\n"
        "gallery.write(new_subject('ada', 'm', np.ones((1, 2), np.float32)), replace=False)\ngallery.read('ada')\n"
        "print('cryptography' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
