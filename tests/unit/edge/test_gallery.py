"""The gallery: files are complete or absent, bound to their model, and private."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from edge.contract.errors import GalleryError, InputError, NameRejected, StorageError, TemplateMismatch
from edge.gallery import Gallery, Subject, check_name, new_subject
from edge.seal import KEY_BYTES, seal

TEMPLATES = np.arange(12, dtype=np.float32).reshape(3, 4)


def subject(name: str = "ada", model_id: str = "m1") -> Subject:
    return new_subject(name, model_id, TEMPLATES)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)
    gallery.write(subject(), replace=False)
    found = gallery.read("ada")
    assert np.array_equal(found.templates, TEMPLATES)
    assert (found.name, found.model_id, gallery.names()) == ("ada", "m1", ["ada"])


def test_folders_and_files_are_the_owners_alone(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)
    gallery.write(subject(), replace=False)
    assert stat.S_IMODE(gallery.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((gallery.folder / "ada.faces").stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_enrols_belongs_to_the_services_user(tmp_path: Path) -> None:
    os.chown(tmp_path, 1234, 1235)
    gallery = Gallery(tmp_path)
    gallery.write(subject(), replace=False)
    for path in (gallery.folder, gallery.folder / "ada.faces"):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1235)


def test_a_folder_that_is_none_is_no_empty_gallery(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)
    assert (gallery.names(), gallery.stamp()) == ([], ())
    gallery.folder.write_text("in the way")
    for act in (gallery.names, gallery.stamp, lambda: gallery.read_for("m1", 4)):
        with pytest.raises(StorageError, match="cannot read: Not a directory"):
            act()


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A folder that other users can reach; pytest's own lie in one that only the tester can enter."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_folder_that_may_not_be_read_is_no_empty_gallery(open_path: Path) -> None:
    gallery = Gallery(open_path)
    gallery.write(subject(), replace=False)
    gallery.folder.chmod(0o000)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)  # root may read everything
        for act in (gallery.names, gallery.stamp, lambda: gallery.read_for("m1", 4)):
            with pytest.raises(StorageError, match="cannot read: Permission denied"):
                act()
    finally:
        os.seteuid(user)
        gallery.folder.chmod(0o700)
    assert gallery.names() == ["ada"]


def test_nobody_is_overwritten_unasked(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)
    gallery.write(subject(), replace=False)
    with pytest.raises(InputError, match="--replace"):
        gallery.write(subject(model_id="m2"), replace=False)
    assert gallery.read("ada").model_id == "m1"
    gallery.write(subject(model_id="m2"), replace=True)
    assert gallery.read("ada").model_id == "m2"


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "Ada", "a" * 33, "a\n", "-a", "ä", "a b", "a\0"])
def test_names_that_could_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    for act in (check_name, Gallery(tmp_path).read, Gallery(tmp_path).remove):
        with pytest.raises(NameRejected, match="use a-z"):
            act(name)


def test_removing_takes_out_readable_or_not(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)
    gallery.write(subject(), replace=False)
    (gallery.folder / "ada.faces").write_bytes(b"rubbish")
    gallery.remove("ada")
    assert gallery.names() == []
    with pytest.raises(InputError, match="not enrolled"):
        gallery.remove("ada")


@pytest.mark.parametrize("damage", [lambda d: b"", lambda d: d[:-1], lambda d: d[:50], lambda d: d + b"x", lambda d: d[::-1]])
def test_a_damaged_file_is_an_error_and_the_others_are_read(tmp_path: Path, damage: object) -> None:
    gallery = Gallery(tmp_path)
    gallery.write(subject("ada"), replace=False)
    gallery.write(subject("bob"), replace=False)
    path = gallery.folder / "ada.faces"
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(GalleryError, match=r"ada\.faces: .*enrol again"):
        gallery.read("ada")
    subjects, refused = gallery.read_for("m1", 4)
    assert [s.name for s in subjects] == ["bob"]
    assert len(refused) == 1


def test_a_file_under_another_name_is_nobody(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)
    gallery.write(subject("ada"), replace=False)
    (gallery.folder / "ada.faces").rename(gallery.folder / "eve.faces")
    with pytest.raises(GalleryError, match="something else than templates of eve"):
        gallery.read("eve")


def test_templates_of_another_model_are_refused_by_name(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)
    gallery.write(subject(), replace=False)
    for model_id, size in (("m2", 4), ("m1", 5)):
        subjects, (problem,) = gallery.read_for(model_id, size)
        assert subjects == []
        assert isinstance(problem, TemplateMismatch)
        assert "enrol ada again" in str(problem)


@pytest.mark.parametrize("templates", [np.zeros((0, 4), np.float32), np.full((2, 4), np.nan, np.float32)])
def test_templates_that_cannot_be_matched_are_refused(tmp_path: Path, templates: np.ndarray) -> None:
    gallery = Gallery(tmp_path)
    gallery.write(new_subject("ada", "m1", templates), replace=False)
    with pytest.raises(GalleryError):
        gallery.read("ada")


def test_the_stamp_changes_when_a_file_is_given_back_to_the_service(tmp_path: Path) -> None:
    """`chown` after restoring a backup changes only the ctime; the backup may have had the same other dates."""
    gallery = Gallery(tmp_path)
    gallery.write(subject(), replace=False)
    before, path = gallery.stamp(), gallery.folder / "ada.faces"

    def changed() -> bool:
        path.chmod(0o600)
        return gallery.stamp() != before

    assert any(changed() for _ in range(100_000))  # the file system's clock ticks every few milliseconds


def test_the_stamp_changes_with_every_change(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)
    stamps = [gallery.stamp()]
    gallery.write(subject("ada"), replace=False)
    stamps.append(gallery.stamp())
    gallery.write(subject("bob"), replace=False)
    stamps.append(gallery.stamp())
    gallery.remove("ada")
    stamps.append(gallery.stamp())
    assert len(set(stamps)) == 4


def test_who_is_removed_while_the_stamp_is_taken_does_not_hide_the_next_removal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stamp was that of an empty gallery. If all were removed in the next second, a door went on letting them in."""
    gallery, real = Gallery(tmp_path), os.listdir
    for name in ("ada", "bob"):
        gallery.write(subject(name), replace=False)

    def removed_since(folder: Path) -> list[str]:
        names = real(folder)
        monkeypatch.undo()
        gallery.remove("bob")
        return names

    monkeypatch.setattr("edge.gallery.os.listdir", removed_since)
    stamps = [gallery.stamp(), gallery.stamp()]
    gallery.remove("ada")
    assert len({*stamps, gallery.stamp()}) == 3


def test_a_file_where_the_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "gallery").write_text("")
    with pytest.raises(StorageError, match="gallery"):
        Gallery(tmp_path).write(subject(), replace=False)


def test_what_is_no_file_is_refused_and_the_others_are_read(tmp_path: Path) -> None:
    """A pipe blocked everything that read the gallery, the daemon included; a dangling link hid every change of the gallery."""
    gallery = Gallery(tmp_path)
    gallery.write(subject("bob"), replace=False)
    os.mkfifo(gallery.folder / "ada.faces", 0o600)
    (gallery.folder / "eve.faces").symlink_to(tmp_path / "none")
    subjects, refused = gallery.read_for("m1", 4)
    assert ([s.name for s in subjects], [type(error) for error in refused]) == (["bob"], [StorageError, StorageError])
    before = gallery.stamp()
    assert len(before) == 3
    gallery.write(subject("cy"), replace=False)
    assert gallery.stamp() != before
    with pytest.raises(StorageError, match="cannot remove"):
        gallery.remove("ada", overwrite=True)
    for name in ("ada", "eve"):
        with pytest.raises(InputError, match="--replace"):
            gallery.write(subject(name), replace=False)
        gallery.write(subject(name), replace=True)
    assert len(gallery.read_for("m1", 4)[0]) == 4


RECORD = {"version": 1, "name": "ada", "model_id": "m1", "created": 1}


def packed(record: object, templates: bytes | None = None) -> bytes:
    out = io.BytesIO()
    np.savez(out, record=np.array(record if isinstance(record, str) else json.dumps(record)))
    with zipfile.ZipFile(out, "a") as archive, archive.open("templates.npy", "w") as member:
        np.save(member, TEMPLATES) if templates is None else member.write(templates)
    return out.getvalue()


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def of_another_method(data: bytes) -> bytes:
    at = data.index(b"PK\x01\x02") + 10
    return data[:at] + b"\x63" + data[at + 1 :]


@pytest.mark.parametrize(
    "body",
    [
        packed('{"version": 1, "name": "ada", "model_id": "m1", "created": Infinity}'),
        packed(RECORD | {"created": 10**30}),
        packed(RECORD | {"created": -(10**18)}),
        packed(RECORD | {"model_id": 7}),
        packed(RECORD | {"version": 2}),
        packed(RECORD, templates=npy(TEMPLATES.astype(np.float64))),
        packed(RECORD, templates=npy(TEMPLATES.ravel())),
        packed(RECORD | {"model_id": "\x1b[2J"}),
        packed("[" * 100_000),
        of_another_method(packed(RECORD)),
        packed(RECORD, templates=b"\x93NUMPY\1\0\x04\0'''\n"),
        seal(bytes(KEY_BYTES), {"key": "\x1b]0;", "name": "ada", "model_id": "m1"}, b"x"),
        b"FLSEALED" + (60_000).to_bytes(2, "little") + b"[" * 60_000 + bytes(64),
    ],
    ids=[
        "endless",
        "late",
        "early",
        "number",
        "version",
        "double",
        "flat",
        "control",
        "deep",
        "method",
        "header",
        "control head",
        "deep head",
    ],
)
def test_a_file_made_by_hand_is_refused_and_the_others_are_read(tmp_path: Path, body: bytes) -> None:
    """The digest matches. One such file crashed every command and the daemon; others sent control characters to root's terminal."""
    gallery = Gallery(tmp_path)
    gallery.write(subject("bob"), replace=False)
    (gallery.folder / "ada.faces").write_bytes(body + hashlib.sha256(body).digest())
    subjects, (problem,) = gallery.read_for("m1", 4)
    assert ([s.name for s in subjects], type(problem)) == (["bob"], GalleryError)
    assert "remove ada and enrol again" in str(problem)
    assert str(problem).isprintable()


def test_a_file_runs_no_program(tmp_path: Path) -> None:
    """NumPy's files may hold pickles, which are programs."""

    class Program:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "it ran"),)

    gallery = Gallery(tmp_path)
    gallery.write(subject(), replace=False)
    body = packed(RECORD, templates=npy(np.array([Program()], object)))
    (gallery.folder / "ada.faces").write_bytes(body + hashlib.sha256(body).digest())
    with pytest.raises(GalleryError, match="unreadable"):
        gallery.read("ada")
    assert not (tmp_path / "it ran").exists()


def test_what_was_written_over_while_it_was_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`edge migrate --rewrite` overwrites the old file, which a reader may have opened before."""
    gallery = Gallery(tmp_path)
    gallery.write(subject(), replace=False)
    whole = (gallery.folder / "ada.faces").read_bytes()
    read = iter([bytes(len(whole)), whole])
    monkeypatch.setattr("edge.gallery.read_file", lambda path, most: next(read))
    assert gallery.read("ada").name == "ada"
