"""Where the key comes from, and each way in which it can be unusable."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from edge.contract.errors import GalleryKeyError, KeyMissing, KeyUnusable, KeyWrong, StorageError
from edge.keys import Keys, new_key, write_new_key
from edge.settings import GallerySettings


def from_file(path: Path) -> Keys:
    return Keys(GallerySettings.model_validate({"encrypt": "file", "key_file": str(path)}), path.parent)


FROM_CREDENTIAL = GallerySettings.model_validate({"encrypt": "credential"})


def test_a_new_key_is_private_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "key"
    made = write_new_key(path, tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    found = from_file(path).current()
    assert found == made
    assert "secret" not in repr(made)
    assert made.id not in path.read_text()
    assert len(made.id) == 16


def test_no_two_keys_are_alike_and_none_is_overwritten(tmp_path: Path) -> None:
    assert len({new_key() for _ in range(50)}) == 50
    path = tmp_path / "key"
    made = write_new_key(path, tmp_path)
    with pytest.raises(StorageError, match="not there yet"):
        write_new_key(path, tmp_path)
    assert from_file(path).current() == made


def test_a_disk_that_is_full_leaves_no_half_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge.keys.os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write_new_key(tmp_path / "key", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_key_may_be_typed_in_capitals_and_without_a_line_end(tmp_path: Path) -> None:
    path = tmp_path / "key"
    made = write_new_key(path, tmp_path)
    typed = tmp_path / "typed"
    typed.write_text(path.read_text().strip().upper())
    typed.chmod(0o600)
    found = from_file(typed).current()
    assert found is not None
    assert found.secret == made.secret


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "0 characters, a key has 64"),
        ("ab" * 31, "62 characters, a key has 64"),
        ("ab" * 33, "66 characters, a key has 64"),
        ("xy" * 32, "other than 0-9 and a-f"),
        ("ab" * 100_000, "4096 characters"),
    ],
)
def test_what_is_no_key_is_told_with_its_length(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(KeyUnusable, match=told) as caught:
        from_file(path).current()
    assert content[:8] not in str(caught.value) or not content  # no part of a key is ever shown


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o410])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    write_new_key(path, tmp_path)
    path.chmod(mode)
    with pytest.raises(KeyUnusable, match=f"mode {mode:04o}.*chmod 0400"):
        from_file(path).current()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_key_of_another_user_is_refused_one_of_the_services_is_not(tmp_path: Path) -> None:
    path = tmp_path / "key"
    os.chown(tmp_path, 1234, 1235)
    write_new_key(path, tmp_path)
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, os.getegid()), "a stick with FAT takes no other group"
    assert from_file(path).current() is not None
    os.chown(path, 4321, 1235)
    with pytest.raises(KeyUnusable, match="belongs to user 4321"):
        from_file(path).current()


def test_a_missing_key_and_what_is_no_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(KeyMissing, match="none: no such key"):
        from_file(tmp_path / "none").current()
    os.mkfifo(tmp_path / "pipe", 0o600)
    for other in ("", "pipe"):
        with pytest.raises(KeyUnusable, match="not a file"):
            from_file(tmp_path / other).current()


def test_a_credential_is_read_where_systemd_puts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An access list for one user shows as mode 0440."""
    keys = Keys(FROM_CREDENTIAL, tmp_path)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(KeyMissing, match=r"CREDENTIALS_DIRECTORY is not set.*systemd-run"):
        keys.current()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(KeyMissing, match=r"gallery-key: no such key.*LoadCredentialEncrypted"):
        keys.current()
    (tmp_path / "gallery-key").write_text("ab" * 32)
    (tmp_path / "gallery-key").chmod(0o440)
    found = keys.current()
    assert found is not None
    assert found.secret == b"\xab" * 32


@pytest.mark.parametrize("name", ["../key", "a/b", "", ".key"])
def test_a_credentials_name_stays_in_its_folder(name: str) -> None:
    with pytest.raises(ValueError, match="credential"):
        GallerySettings.model_validate({"encrypt": "credential", "credential": name})


def test_a_file_needs_its_name() -> None:
    for settings in ({"encrypt": "file"}, {"encrypt": "file", "key_file": "relative"}):
        with pytest.raises(ValueError, match="key_file"):
            GallerySettings.model_validate(settings)


def test_a_key_is_found_by_its_id(tmp_path: Path) -> None:
    now, old = write_new_key(tmp_path / "now", tmp_path), write_new_key(tmp_path / "old", tmp_path)
    settings = GallerySettings.model_validate({"encrypt": "file", "key_file": str(tmp_path / "now")})
    both = Keys(settings, tmp_path, old=tmp_path / "old")
    assert both.find(now.id, tmp_path) == now
    assert both.find(old.id, tmp_path) == old
    with pytest.raises(KeyWrong, match=f"encrypted with key 0000.*now is {now.id} and .*old is {old.id}"):
        both.find("0000", tmp_path)
    none = Keys(GallerySettings(), tmp_path)
    assert none.current() is None
    with pytest.raises(KeyMissing, match=r'gallery\.encrypt is "none"'):
        none.find(now.id, tmp_path)
    assert Keys(GallerySettings(), tmp_path, old=tmp_path / "old").find(old.id, tmp_path) == old
    assert issubclass(KeyWrong, GalleryKeyError)
