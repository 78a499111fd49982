"""Preparation: a chip for every good picture, a reason for every other one, and no bad picture stops it."""

from __future__ import annotations

import errno
import json
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.contract.chip import FaceBox, cut_chip, to_grey
from edge.contract.errors import InputError
from edge.contract.spec import ChipSpec
from trainer.layout import Layout, layout_of
from trainer.prepare import Several, prepare, read_manifest, read_picture, source_pictures
from trainer.synth.draw import draw_frame
from trainer.synth.person import Person
from trainer.synth.view import View


def face(seed: int) -> np.ndarray:
    return draw_frame(Person.from_seed(seed), View(), np.random.default_rng(seed), width=160, height=160)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """One good picture, and one of each kind that gives no chip."""
    for name, picture in (
        ("ada/good.png", face(1)),
        ("ada/nobody.png", np.full((160, 160, 3), 128, np.uint8)),
        ("bob/two.png", np.hstack([face(2), face(3)])),
    ):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture)
    (tmp_path / "pictures/bob/empty.jpg").write_bytes(b"")
    (tmp_path / "pictures/bob/cut.png").write_bytes((tmp_path / "pictures/ada/good.png").read_bytes()[:40])
    (tmp_path / "pictures/bob/text.jpg").write_text("no picture")
    (tmp_path / "pictures/bob/folder.jpg").mkdir()
    return tmp_path


def test_every_picture_has_a_chip_or_a_reason(data: Path) -> None:
    outcomes = {o.picture.path.name: o.reason for o in prepare(data, Layout.IDENTITIES, ChipSpec(), Several.SKIP)}
    assert outcomes == {
        "good.png": "",
        "nobody.png": "no face found",
        "two.png": "2 faces found",
        "empty.jpg": "empty file",
        "cut.png": "not a picture, or cut off",
        "text.jpg": "not a picture, or cut off",
    }
    manifest = json.loads((data / "prepared.json").read_text())
    assert len(manifest["chips"]) == 1
    assert len(manifest["skipped"]) == 5


def test_the_chip_on_disk_is_the_devices_byte_for_byte(data: Path) -> None:
    prepare(data, Layout.IDENTITIES, ChipSpec(), Several.SKIP)
    (entry,) = json.loads((data / "prepared.json").read_text())["chips"]
    stored = cv2.imread(str(data / entry["chip"]), cv2.IMREAD_UNCHANGED)
    frame = read_picture(data / "pictures/ada/good.png")
    assert np.array_equal(stored, cut_chip(to_grey(frame), FaceBox(*entry["box"]), ChipSpec()))


def test_of_several_faces_one_can_be_asked_for(data: Path) -> None:
    outcomes = prepare(data, Layout.IDENTITIES, ChipSpec(), Several.LARGEST)
    assert sum(o.box is not None for o in outcomes) == 2


def test_six_folders_keep_their_roles(tmp_path: Path) -> None:
    for role in ("anchor", "positive", "negative"):
        (tmp_path / f"{role}_real").mkdir()
        cv2.imwrite(str(tmp_path / f"{role}_real/ada__0.png"), face(1))
    assert layout_of(tmp_path) is Layout.SIX_FOLDERS
    prepare(tmp_path, Layout.SIX_FOLDERS, ChipSpec(), Several.SKIP)
    assert sorted(p.parent.name for p in tmp_path.glob("*_grayed/ada__0.png")) == [
        "anchor_grayed",
        "negative_grayed",
        "positive_grayed",
    ]


def test_a_folder_without_one_face_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pictures/ada").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "pictures/ada/0.png"), np.zeros((99, 99), np.uint8))
    with pytest.raises(InputError, match="not one of 1 pictures"):
        prepare(tmp_path, Layout.IDENTITIES, ChipSpec(), Several.SKIP)


def test_what_is_no_data_set_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name, told in (("none", "no such folder"), ("file", "not a folder"), (".", "neither")):
        with pytest.raises(InputError, match=told):
            layout_of(tmp_path / name)
    with pytest.raises(InputError, match="not prepared"):
        read_manifest(tmp_path)


def test_chips_of_another_contract_are_refused(data: Path) -> None:
    prepare(data, Layout.IDENTITIES, ChipSpec(), Several.SKIP)
    manifest = json.loads((data / "prepared.json").read_text())
    (data / "prepared.json").write_text(json.dumps(manifest | {"fingerprint": "0" * 64}))
    with pytest.raises(InputError, match="cut otherwise"):
        read_manifest(data)
    for damaged in ("{", "[]", json.dumps(manifest | {"chips": []}), json.dumps(manifest | {"chips": [{"chip": "x"}]})):
        (data / "prepared.json").write_text(damaged)
        with pytest.raises(InputError, match="unreadable"):
            read_manifest(data)


def test_a_picture_that_lies_in_no_persons_own_folder_is_told(data: Path) -> None:
    for name in ("lone.png", "ada/2021/older.png"):
        (data / "pictures" / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(data / "pictures" / name), face(1))
    outcomes = {o.picture.path.name: o.reason for o in prepare(data, Layout.IDENTITIES, ChipSpec(), Several.SKIP)}
    reason = "lies in no person's own folder, pictures/PERSON/FILE"
    assert {name: why for name, why in outcomes.items() if why == reason} == {"lone.png": reason, "older.png": reason}
    assert {"picture": "pictures/ada/2021/older.png", "reason": reason} in read_manifest(data)["skipped"]


def test_two_pictures_of_one_name_are_one(tmp_path: Path) -> None:
    """Taken as two, they would share a chip and be a genuine pair of one photograph."""
    (tmp_path / "pictures/ada").mkdir(parents=True)
    for name in ("0.png", "0.bmp", "1.png"):
        cv2.imwrite(str(tmp_path / "pictures/ada" / name), face(1))
    outcomes = {o.picture.path.name: o.reason for o in prepare(tmp_path, Layout.IDENTITIES, ChipSpec(), Several.SKIP)}
    assert outcomes == {"0.bmp": "", "0.png": "has the name of another, 0.bmp", "1.png": ""}
    manifest = read_manifest(tmp_path)
    assert [entry["chip"] for entry in manifest["chips"]] == ["chips/ada/0.png", "chips/ada/1.png"]
    assert source_pictures(tmp_path, manifest)["chips/ada/0.png"].name == "0.bmp"
    (tmp_path / "pictures/ada/1.png").unlink()
    with pytest.raises(InputError, match=r"of 1 chips are no longer there, such as that of chips/ada/1\.png"):
        source_pictures(tmp_path, manifest)


def test_a_preparation_that_was_broken_off_is_none(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some chips that the old list names may already have been replaced by differently cut ones."""
    prepare(data, Layout.IDENTITIES, ChipSpec(), Several.SKIP)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainer.prepare.write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(data, Layout.IDENTITIES, ChipSpec(scale=1.4), Several.SKIP)
    with pytest.raises(InputError, match="not prepared"):
        read_manifest(data)


def test_a_picture_of_too_many_pixels_gives_a_reason(data: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 200_000, 200_000, 8, 2, 0, 0, 0)
    picture = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (data / "pictures/bob/huge.png").write_bytes(picture)
    outcomes = {o.picture.path.name: o.reason for o in prepare(data, Layout.IDENTITIES, ChipSpec(), Several.SKIP)}
    assert outcomes["huge.png"] == "no picture that OpenCV opens; it may have too many pixels"
    assert outcomes["good.png"] == ""


def test_pictures_deeper_than_a_person_are_none(tmp_path: Path) -> None:
    (tmp_path / "pictures/a/b").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "pictures/a/b/0.png"), face(1))
    with pytest.raises(InputError, match="no pictures in pictures/<person>/"):
        prepare(tmp_path, Layout.IDENTITIES, ChipSpec(), Several.SKIP)


def test_a_folder_that_cannot_be_read_is_told(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def locked(folder: str | Path) -> object:
        if Path(folder).name == "bob":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(InputError, match="pictures/bob: cannot read: Permission denied"):
        prepare(data, Layout.IDENTITIES, ChipSpec(), Several.SKIP)
