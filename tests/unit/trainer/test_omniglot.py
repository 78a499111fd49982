"""Small made-up Omniglot archives: imported as a prepared set, each character once; one-shot trials counted by hand."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.contract.errors import InputError
from trainer.dataset import load_faces
from trainer.omniglot import import_omniglot, one_shot


def drawing(value: int) -> bytes:
    return cv2.imencode(".png", np.full((105, 105), value, np.uint8))[1].tobytes()


class Grey:
    """A verifier whose embedding is the picture's mean."""

    from edge.contract.score import Head

    head = Head(np.ones(1, np.float32), 0.0)

    def embed(self, chips: np.ndarray) -> np.ndarray:
        return chips.reshape(len(chips), -1).mean(1, keepdims=True).astype(np.float32)


def test_characters_of_two_archives_are_one_prepared_set(tmp_path: Path) -> None:
    for name, alphabets in (("one", ("Greek", "Latin")), ("two", ("Greek", "Korean"))):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            for at, alphabet in enumerate(alphabets):
                for drawer in range(3):
                    archive.writestr(
                        f"images_{name}/{alphabet}/character01/{at:04d}_{drawer:02d}.png", drawing(at * 50 + drawer)
                    )
    assert import_omniglot([tmp_path / "one.zip", tmp_path / "two.zip"], tmp_path / "data") == (3, 9)
    faces = load_faces(tmp_path / "data")
    assert faces.identities == ["Greek-character01", "Korean-character01", "Latin-character01"]
    assert faces.chips[:].shape == (9, 105, 105)


def test_one_shot_by_hand(tmp_path: Path) -> None:
    """Three classes with grey 0, 100 and 200, and tests with grey 10, 110 and 140: the last is nearer to another class than its own."""
    path = tmp_path / "all_runs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for at, value in enumerate((0, 100, 200), start=1):
            archive.writestr(f"run01/training/class{at:02d}.png", drawing(value))
        for at, value in enumerate((10, 110, 140), start=1):
            archive.writestr(f"run01/test/item{at:02d}.png", drawing(value))
        archive.writestr(
            "run01/class_labels.txt", "".join(f"run01/test/item0{n}.png run01/training/class0{n}.png\n" for n in (1, 2, 3))
        )
    wrong = one_shot(Grey(), path)  # type: ignore[arg-type]
    assert (wrong.errors, wrong.trials) == (1, 3)


@pytest.mark.parametrize(
    ("labels", "said"),
    [("", "expected lines"), ("run01/test/item01.png\n", "expected lines"), ("run01/a.png run01/b.png\n", "a.png' is missing")],
)
def test_a_run_that_is_incomplete_is_named(tmp_path: Path, labels: str, said: str) -> None:
    path = tmp_path / "all_runs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("run01/test/item01.png", drawing(10))
        archive.writestr("run01/class_labels.txt", labels)
    with pytest.raises(InputError, match=said):
        one_shot(Grey(), path)  # type: ignore[arg-type]


def test_another_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "no.zip").write_bytes(b"no")
    with pytest.raises(InputError, match="not a readable zip"):
        import_omniglot([tmp_path / "no.zip"], tmp_path / "data")
    with zipfile.ZipFile(tmp_path / "whole.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b/c/1.png", drawing(1))
    data = bytearray((tmp_path / "whole.zip").read_bytes())
    data[41:81] = bytes(40)  # after the member's header: 30 bytes and its name
    (tmp_path / "damaged.zip").write_bytes(data)
    with pytest.raises(InputError, match=r"damaged\.zip: not a readable zip"):
        import_omniglot([tmp_path / "damaged.zip"], tmp_path / "data")
    with zipfile.ZipFile(tmp_path / "small.zip", "w") as archive:
        archive.writestr("a/b/c/1.png", cv2.imencode(".png", np.zeros((5, 5), np.uint8))[1].tobytes())
    with pytest.raises(InputError, match="no drawing of 105x105"):
        import_omniglot([tmp_path / "small.zip"], tmp_path / "data")
    with zipfile.ZipFile(tmp_path / "flat.zip", "w") as archive:
        archive.writestr("1.png", drawing(1))
    with pytest.raises(InputError, match=r"flat\.zip: 1\.png is in no alphabet's and character's folder"):
        import_omniglot([tmp_path / "flat.zip"], tmp_path / "data")
