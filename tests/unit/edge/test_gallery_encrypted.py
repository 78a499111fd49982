"""A gallery with a key: only the right key, in the right hands, for the right name opens a template."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.contract.errors import GalleryError, GalleryKeyError, KeyMissing, KeyUnusable, KeyWrong, PackageMissing
from edge.gallery import Gallery, Subject
from edge.keys import Keys, write_new_key
from edge.settings import GallerySettings

TEMPLATES = np.arange(12, dtype=np.float32).reshape(3, 4)
DIGEST = 32


def gallery(state: Path, key: Path | None, old: Path | None = None) -> Gallery:
    """A gallery with the key in a file, which is made if it is missing; unencrypted if `key` is None."""
    if key is None:
        return Gallery(state, Keys(GallerySettings(), state, old))
    if not key.exists():
        write_new_key(key, state)
    return Gallery(state, Keys(GallerySettings.model_validate({"encrypt": "file", "key_file": str(key)}), state, old))


def enrolled(of: Gallery, *names: str) -> Gallery:
    for name in names:
        of.write(Subject(name, "m1", TEMPLATES, 1_700_000_000), replace=False)
    return of


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "key"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


def test_what_is_written_is_read_and_nothing_of_it_is_in_the_file(state: Path, key: Path) -> None:
    sealed = enrolled(gallery(state, key), "ada")
    found = sealed.read("ada")
    assert np.array_equal(found.templates, TEMPLATES)
    assert (found.name, found.model_id, found.created) == ("ada", "m1", 1_700_000_000)
    data = (sealed.folder / "ada.faces").read_bytes()
    assert TEMPLATES[1].tobytes() not in data
    assert TEMPLATES[1].tobytes() in (enrolled(gallery(state, None), "bob").folder / "bob.faces").read_bytes()
    assert key.read_text().strip().encode() not in data
    assert sealed.key_id("ada") is not None


def test_both_kinds_are_read_side_by_side(state: Path, key: Path) -> None:
    enrolled(gallery(state, None), "ada")
    subjects, refused = enrolled(gallery(state, key), "bob").read_for("m1", 4)
    assert ([subject.name for subject in subjects], refused) == (["ada", "bob"], [])


def test_each_thing_that_is_wrong_with_a_key_is_its_own_error_and_opens_nothing(state: Path, key: Path, tmp_path: Path) -> None:
    enrolled(gallery(state, key), "ada", "bob")
    other = gallery(state, tmp_path / "other")
    short = tmp_path / "short"
    short.write_text("abc")
    short.chmod(0o400)
    moved = gallery(state, tmp_path / "moved")
    (tmp_path / "moved").unlink()
    for reader, kind, told, code in (
        (gallery(state, None), KeyMissing, 'gallery.encrypt is "none"', "key-missing"),
        (moved, KeyMissing, "moved: no such key", "key-missing"),
        (other, KeyWrong, "encrypted with key", "key-wrong"),
        (gallery(state, short), KeyUnusable, "3 characters, a key has 64", "key-unusable"),
    ):
        with pytest.raises(kind, match=told) as caught:
            reader.read("ada")
        assert caught.value.code == code
        subjects, refused = reader.read_for("m1", 4)
        assert subjects == []
        assert {type(error) for error in refused} == {kind}
    # An error that all files share is reported once.
    assert len(moved.read_for("m1", 4)[1]) == 1


def test_without_the_package_nobody_is_read(state: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = enrolled(gallery(state, key), "ada")
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(PackageMissing):
        sealed.read_for("m1", 4)


def test_nothing_is_written_without_the_key(state: Path, key: Path) -> None:
    sealed = gallery(state, key)
    key.unlink()
    for act in (sealed.check_key, lambda: enrolled(sealed, "ada")):
        with pytest.raises(KeyMissing):
            act()
    assert sealed.names() == []


def reseal(path: Path, change: bytes, to: bytes) -> None:
    """What someone without the key can do who can write to the SD card: change bytes and make the digest match."""
    body = path.read_bytes()[:-DIGEST]
    assert change in body
    body = body.replace(change, to, 1)
    path.write_bytes(body + hashlib.sha256(body).digest())


@pytest.mark.parametrize(
    ("change", "to"),
    [(b'"m1"', b'"m2"'), (b'"name": "ada"', b'"name": "eve"'), (b'"ada"', b'"bob"'), (b"Poly1305", b"Poly1306")],
)
def test_another_name_or_model_in_the_head_does_not_open(state: Path, key: Path, change: bytes, to: bytes) -> None:
    sealed = enrolled(gallery(state, key), "ada")
    reseal(sealed.folder / "ada.faces", change, to)
    with pytest.raises(GalleryError, match=r"forged or damaged|its head is not of ada|of another version"):
        sealed.read("ada")


def test_a_persons_file_under_another_name_opens_no_door(state: Path, key: Path) -> None:
    sealed = enrolled(gallery(state, key), "ada")
    path = sealed.folder / "ada.faces"
    path.rename(sealed.folder / "eve.faces")
    with pytest.raises(GalleryError, match="its head is not of eve"):
        sealed.read("eve")
    reseal(sealed.folder / "eve.faces", b'"ada"', b'"eve"')
    with pytest.raises(GalleryError, match="forged or damaged"):
        sealed.read("eve")


def test_a_key_id_that_was_changed_is_a_wrong_key(state: Path, key: Path) -> None:
    sealed = enrolled(gallery(state, key), "ada")
    used = sealed.key_id("ada")
    assert used is not None
    reseal(sealed.folder / "ada.faces", used.encode(), b"0" * 16)
    with pytest.raises(KeyWrong, match="0000000000000000"):
        sealed.read("ada")


def test_templates_are_written_anew_into_out_of_and_between_encryptions(state: Path, key: Path, tmp_path: Path) -> None:
    plain = enrolled(gallery(state, None), "ada")
    before = plain.read("ada")
    second = tmp_path / "second"
    seen = []
    for target in (gallery(state, key), gallery(state, second, old=key), gallery(state, None, old=second)):
        assert target.rewrite("ada") is True
        assert target.rewrite("ada") is False
        found = target.read("ada")
        assert np.array_equal(found.templates, before.templates)
        assert (found.model_id, found.created) == (before.model_id, before.created)
        seen.append(target.key_id("ada"))
    assert seen[2] is None
    assert len(set(seen)) == 3
    assert plain.read("ada").created == before.created


def test_what_was_there_in_plain_is_written_over(state: Path, key: Path) -> None:
    plain = enrolled(gallery(state, None), "ada")
    with (plain.folder / "ada.faces").open("rb") as holder:
        gallery(state, key).rewrite("ada")
        assert set(holder.read()) == {0}


def test_what_cannot_be_opened_is_left_as_it_was(state: Path, key: Path, tmp_path: Path) -> None:
    sealed = enrolled(gallery(state, key), "ada")
    before = (sealed.folder / "ada.faces").read_bytes()
    for target in (gallery(state, None), gallery(state, tmp_path / "other")):
        with pytest.raises(GalleryKeyError):
            target.rewrite("ada")
    assert (sealed.folder / "ada.faces").read_bytes() == before


def test_removing_needs_no_key(state: Path, key: Path) -> None:
    enrolled(gallery(state, key), "ada")
    gallery(state, None).remove("ada", overwrite=True)
    assert list((state / "gallery").iterdir()) == []
