"""`edge enroll --from` reads a folder whatever its name is."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.camera import is_replay
from edge.cli import app, people
from edge.contract.errors import EnrolmentStopped
from edge.settings import Settings


@pytest.mark.parametrize("folder", ["video0", "./0", "./csi", "./046d:0825", "pictures"])
def test_a_folder_with_the_name_of_a_camera_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """`Path` drops a leading "./": the remainder named a camera, which was once opened instead."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    sources: list[str] = []

    def enrolled(settings: Settings, *_: object) -> None:
        sources.append(settings.camera.source)
        raise EnrolmentStopped("far enough")

    monkeypatch.setattr(people, "_enrol_locally", enrolled)
    done = CliRunner().invoke(app, ["enroll", "ada", "--from", folder])
    assert isinstance(done.exception, EnrolmentStopped)
    assert sources == [str(tmp_path / folder)]
    assert is_replay(sources[0])
