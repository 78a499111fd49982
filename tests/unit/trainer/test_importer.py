"""Imports of person folders and archives, which never make a captured subject a negative."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.contract.errors import FacelatchError, InputError, StorageError
from trainer.importer import Renaming, import_people
from trainer.layout import Layout

PICTURE = cv2.imencode(".jpg", np.full((8, 8, 3), 90, np.uint8))[1].tobytes()


def person_folders(root: Path) -> Path:
    for name in ("lfw/Ada_L/Ada_L_0001.jpg", "lfw/Ada_L/Ada_L_0002.jpg", "lfw/Bob_B/Bob_B_0001.jpg", "lfw/notes.txt"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PICTURE)
    return root / "lfw"


@pytest.mark.parametrize("suffix", ["", ".tgz", ".tar"])
def test_folders_and_archives_give_the_same(tmp_path: Path, suffix: str) -> None:
    source = person_folders(tmp_path)
    if suffix:
        with tarfile.open(tmp_path / f"lfw{suffix}", "w:gz" if suffix == ".tgz" else "w") as archive:
            archive.add(source, "lfw")
        source = tmp_path / f"lfw{suffix}"
    done = import_people(source, tmp_path / "data", Layout.IDENTITIES)
    assert (done.people, done.pictures, done.present) == (2, 3, 0)
    assert (tmp_path / "data/pictures/Ada_L/Ada_L_0002.jpg").read_bytes() == PICTURE
    again = import_people(source, tmp_path / "data", Layout.IDENTITIES)
    assert (again.pictures, again.present) == (0, 3)


def test_another_picture_of_the_same_person_and_name_is_told(tmp_path: Path) -> None:
    """It comes from another set: the existing picture is kept, and the new one is not counted as already present."""
    import_people(person_folders(tmp_path), tmp_path / "data", Layout.IDENTITIES)
    other = person_folders(tmp_path / "elsewhere")
    (other / "Ada_L/Ada_L_0002.jpg").write_bytes(PICTURE[:-1] + b"x")
    done = import_people(other, tmp_path / "data", Layout.IDENTITIES)
    assert (done.pictures, done.present) == (0, 2)
    ((name, why),) = done.left_out
    assert name.endswith("lfw/Ada_L/Ada_L_0002.jpg")
    assert "has another picture of that person and name" in why
    assert (tmp_path / "data/pictures/Ada_L/Ada_L_0002.jpg").read_bytes() == PICTURE


def test_six_folders_carry_the_person_in_the_name(tmp_path: Path) -> None:
    import_people(person_folders(tmp_path), tmp_path / "data", Layout.SIX_FOLDERS)
    found = sorted(path.name for path in (tmp_path / "data/negative_real").iterdir())
    assert found == ["Ada_L__Ada_L_0001.jpg", "Ada_L__Ada_L_0002.jpg", "Bob_B__Bob_B_0001.jpg"]


@pytest.mark.parametrize("layout", list(Layout))
def test_a_captured_subject_is_never_a_negative(tmp_path: Path, layout: Layout) -> None:
    if layout is Layout.SIX_FOLDERS:
        (tmp_path / "data/anchor_real").mkdir(parents=True)
        (tmp_path / "data/anchor_real/Ada_L__anchor-0000.png").write_bytes(PICTURE)
    else:
        (tmp_path / "data/pictures/Ada_L").mkdir(parents=True)
        (tmp_path / "data/pictures/Ada_L/captured").write_bytes(b"")
    done = import_people(person_folders(tmp_path), tmp_path / "data", layout)
    assert (done.people, done.pictures, len(done.left_out)) == (1, 1, 2)
    assert not list((tmp_path / "data").glob("**/Ada_L*0001*"))


def test_who_is_named_as_a_captured_subject_is_no_negative_either(tmp_path: Path) -> None:
    (tmp_path / "data/pictures/ada").mkdir(parents=True)
    (tmp_path / "data/pictures/ada/captured").write_bytes(b"")
    done = import_people(person_folders(tmp_path), tmp_path / "data", Layout.IDENTITIES, Renaming(aliases={"Ada_L": "ada"}))
    assert (done.people, {why for _, why in done.left_out}) == (1, {"the person is a captured subject"})
    assert [path.name for path in (tmp_path / "data/pictures/ada").iterdir()] == ["captured"]


def test_an_archive_cannot_write_outside(tmp_path: Path) -> None:
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("../../evil/x.jpg", "/abs/y.jpg", "a/../../z.jpg"):
            member = tarfile.TarInfo(name)
            member.size = len(PICTURE)
            archive.addfile(member, io.BytesIO(PICTURE))
    with pytest.raises(FacelatchError):
        import_people(path, tmp_path / "inner" / "data", Layout.IDENTITIES)
    outside = [p for p in tmp_path.rglob("*.jpg") if not p.is_relative_to(tmp_path / "inner" / "data")]
    assert outside == []


def test_a_full_disk_is_not_taken_for_a_damaged_archive(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "lfw.tar", "w") as archive:
        archive.add(person_folders(tmp_path), "lfw")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/pictures").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write"):
        import_people(tmp_path / "lfw.tar", tmp_path / "data", Layout.IDENTITIES)


def test_what_holds_no_people_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat/x.jpg").write_bytes(PICTURE)
    (tmp_path / "cut.tgz").write_bytes(b"\x1f\x8b\x08rubbish")
    (tmp_path / "zero.tar").write_bytes(b"")
    for name in ("empty", "flat", "cut.tgz", "zero.tar", "missing"):
        with pytest.raises(InputError, match=name):
            import_people(tmp_path / name, tmp_path / "data", Layout.IDENTITIES)


def test_an_archive_damaged_anywhere_is_told(tmp_path: Path) -> None:
    """gzip, zlib and tarfile each raise their own exceptions for it. If only pixels are damaged, `prepare` reports it."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        for number in range(20):
            member = tarfile.TarInfo(f"lfw/a/{number}.jpg")
            member.size = 10240
            archive.addfile(member, io.BytesIO(bytes(range(256)) * 40))
    told = 0
    for at in range(20, len(whole.getvalue()) - 20, 7):
        damaged = bytearray(whole.getvalue())
        damaged[at : at + 4] = b"\xff" * 4
        (tmp_path / "lfw.tgz").write_bytes(bytes(damaged))
        try:
            import_people(tmp_path / "lfw.tgz", tmp_path / "data", Layout.IDENTITIES)
        except InputError:
            told += 1
    assert told > 20


def test_folders_of_one_name_are_told_and_no_picture_is_taken_for_another(tmp_path: Path) -> None:
    """Folders named after a session are not one person; those of one person in several parts of a set are."""
    for name, byte in (
        ("ada/session1/1.jpg", b"a"),
        ("bob/session1/1.jpg", b"b"),
        ("bob/session1/2.jpg", b"c"),
        ("bob/eve/1.jpg", b"d"),
    ):
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PICTURE + byte)
    for _ in range(2):
        done = import_people(tmp_path / "source", tmp_path / "data", Layout.IDENTITIES)
        folders = [str(tmp_path / "source" / whose / "session1") for whose in ("ada", "bob")]
        assert done.several == {"session1": folders}
        assert done.left_out == [(f"{folders[1]}/1.jpg", "another folder of this name has a picture of this name")]
    assert (tmp_path / "data/pictures/session1/1.jpg").read_bytes() == PICTURE + b"a"
    one_person = Renaming(aliases={"Ada_L": "ada", "Bob_B": "ada"})
    assert import_people(person_folders(tmp_path), tmp_path / "two", Layout.IDENTITIES, one_person).several == {}
