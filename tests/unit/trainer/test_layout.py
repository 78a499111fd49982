"""The folders of a data set, and which names are safe as folder names."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.contract.errors import InputError, NameRejected
from trainer.layout import Layout, check_identity, chosen_layout, pictures_of


def test_new_pictures_go_where_the_others_are(tmp_path: Path) -> None:
    assert chosen_layout(tmp_path / "new", None) is Layout.IDENTITIES
    assert chosen_layout(tmp_path, Layout.SIX_FOLDERS) is Layout.SIX_FOLDERS
    (tmp_path / "negative_real").mkdir()
    assert chosen_layout(tmp_path, None) is Layout.SIX_FOLDERS
    with pytest.raises(InputError, match="but identities was asked for"):
        chosen_layout(tmp_path, Layout.IDENTITIES)
    (tmp_path / "pictures").mkdir()
    with pytest.raises(InputError, match="both layouts"):
        chosen_layout(tmp_path, None)


def test_a_file_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: not a folder"):
        chosen_layout(tmp_path / "file", None)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "..", "a__b", "-a", "a" * 101, "a\0b", "a b"])
def test_names_that_could_leave_the_data_set_are_refused(name: str) -> None:
    with pytest.raises(NameRejected):
        check_identity(name)


def test_a_six_folder_picture_without_a_person_is_named(tmp_path: Path) -> None:
    (tmp_path / "anchor_real").mkdir()
    (tmp_path / "anchor_real" / "me.png").write_bytes(b"")
    with pytest.raises(InputError, match="PERSON__NUMBER"):
        list(pictures_of(tmp_path, Layout.SIX_FOLDERS))
