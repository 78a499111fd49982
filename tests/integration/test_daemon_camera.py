"""The daemon and a camera in the network that is not there: what it tells of the address."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from edge.contract.errors import FacelatchError
from edge.contract.modelfile import ModelFile
from edge.daemon import Daemon
from edge.desk import Job
from edge.gallery import Gallery
from edge.journal import Journal
from edge.lockout import Lockout
from edge.settings import CameraSettings, Settings
from edge.station import Station


@pytest.mark.usefixtures("signals")
def test_neither_the_journal_nor_who_asks_hears_the_cameras_password(
    tmp_path: Path, model: ModelFile, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing listens on port 1. Who asks while the daemon waits for the next try is told so, and that ends it."""
    source = "http://ada:secret@127.0.0.1:1/live?password=secret"
    settings = settings.model_copy(update={"camera": CameraSettings(source=source, stall_s=1.0)})
    told, errors = io.StringIO(), list[str]()
    point = model.operating_point(settings.policy.target_fmr, allow_failed_gate=False)
    station = Station(settings, model, point, Gallery(tmp_path), Lockout(tmp_path), Journal(told))
    daemon = Daemon(station)

    def heard(error: FacelatchError) -> None:
        errors.append(str(error))
        daemon.stop()

    def ask_once_it_is_lost(_: str) -> None:
        if "camera-lost" in told.getvalue() and not errors:
            daemon.desk.submit(Job(lambda frames: None, heard))

    monkeypatch.setattr("edge.daemon.notify", ask_once_it_is_lost)
    daemon.run()
    events = [json.loads(line) for line in told.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["started", "gallery-loaded", "camera-starting", "camera-lost", "stopped"]
    assert events[2]["message"].startswith("http://127.0.0.1:1/live: opening")
    assert errors == ["http://127.0.0.1:1/live: the camera is lost"]
    assert "secret" not in told.getvalue()
