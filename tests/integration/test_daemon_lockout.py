"""The daemon's failure count: on a disk that is full for a while, and with two verifications at once."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.camera import Frame
from edge.camera.replay import Video
from edge.clock import seconds_since_boot
from edge.contract.modelfile import ModelFile
from edge.daemon import Daemon
from edge.gallery import Gallery, new_subject
from edge.journal import Journal
from edge.lockout import ANYONE, Lockout
from edge.settings import Settings
from edge.station import Station
from tests.conftest import ADA, EVE, MODEL, Device

Clip = Callable[[int, int], Path]


class Scripted:
    """A camera whose frames come from a test's generator, which can act between them."""

    live, name = False, "scripted"

    def __init__(self, script: Callable[[], Iterator[Frame]]) -> None:
        self.frames = script

    def close(self) -> None:
        """See `Camera.close`."""


@pytest.mark.usefixtures("signals")
def test_a_denial_on_a_full_disk_is_counted_when_the_disk_comes_back(
    tmp_path: Path, clip: Clip, model: ModelFile, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three failures are on disk, and the fourth cannot be written. It counts all the same: the fifth, once the disk is back, locks out."""
    gallery, lockout, told = Gallery(tmp_path), Lockout(tmp_path), io.StringIO()
    gallery.write(new_subject("ada", model.model_id, np.ones((3, model.head.size), np.float32)), replace=False)
    for _ in range(3):
        lockout.fail(ANYONE, settings.policy)
    blocker = tmp_path / ".lockout.json.new"
    later = 0.0
    monkeypatch.setattr("edge.door.seconds_since_boot", lambda: seconds_since_boot() + later)

    def events() -> list[str]:
        return [json.loads(line)["event"] for line in told.getvalue().splitlines()]

    def script() -> Iterator[Frame]:
        nonlocal later
        recorded = [frame for frame in Video(clip(EVE, 1)).frames() if frame is not None]
        blocker.mkdir()
        for frame in recorded:
            yield frame
        assert events()[-2:] == ["lock-out-broken", "deny"]
        assert lockout.everyone() == {ANYONE: 3}
        later += 2.0
        yield recorded[0]  # the daemon tries again, and the disk is still full
        assert lockout.everyone() == {ANYONE: 3}
        blocker.rmdir()
        later += 2.0
        yield recorded[0]
        assert lockout.everyone() == {ANYONE: 4}
        for frame in recorded:
            yield Frame(frame.pixels, frame.at + 60)

    point = model.operating_point(settings.policy.target_fmr, allow_failed_gate=False)
    station = Station(settings, model, point, gallery, Lockout(tmp_path), Journal(told))
    Daemon(station, opened=lambda _: Scripted(script)).run()
    assert events().count("lock-out-broken") == 1
    assert [event for event in events() if event in ("deny", "locked-out", "accept")] == ["deny", "deny", "locked-out"]
    assert lockout.everyone() == {ANYONE: 5}


def test_two_verifications_that_fail_at_once_are_two_failures(device: Device, clip: Clip) -> None:
    """Both read the count before either has judged. So a failure must increment the count on disk, not write back what was read."""
    assert device.run("enroll", "ada", "--camera", clip(ADA, 1)).returncode == 0
    words = ["verify", "ada", "--camera", str(clip(EVE, 1)), "--config", str(device.home / "edge.toml"), "--model", str(MODEL)]
    environment = os.environ | {"STATE_DIRECTORY": str(device.state)}
    running = [
        subprocess.Popen([sys.executable, "-m", "edge", *words], env=environment, stdout=subprocess.DEVNULL) for _ in range(2)
    ]
    assert [process.wait(60) for process in running] == [1, 1]
    assert Lockout(device.state).everyone() == {"ada": 2}
