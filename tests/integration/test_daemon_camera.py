"""The daemon and its camera: a network camera that does not answer, whose password is never shown, and a camera that freezes."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.camera import Camera, Frame
from edge.contract.errors import CameraBusy, CameraFrozen, FacelatchError
from edge.contract.modelfile import ModelFile
from edge.daemon import Daemon
from edge.desk import Frames, Job
from edge.gallery import Gallery
from edge.journal import Journal
from edge.lockout import Lockout
from edge.settings import CameraSettings, Settings
from edge.station import Station


@pytest.mark.usefixtures("signals")
def test_neither_the_journal_nor_who_asks_hears_the_cameras_password(
    tmp_path: Path, model: ModelFile, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing listens on port 1. A caller who asks during the wait for the next try is told that the camera is lost."""
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


@pytest.mark.usefixtures("signals")
def test_a_camera_that_stands_still_is_opened_after_longer_and_longer_pauses(
    tmp_path: Path, model: ModelFile, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time it is opened it gives its one picture, which is judged only the first time. The loss is reported once."""
    told, pauses, judged = io.StringIO(), list[float](), list[int]()

    class Standing:
        live, name = True, "standing"

        def frames(self) -> Iterator[Frame | None]:
            yield Frame(np.full((240, 320, 3), 90, np.uint8), 1.0)
            if len(pauses) == 3:
                yield Frame(np.full((240, 320, 3), 91, np.uint8), 2.0)
                daemon.stop()
                yield None
            raise CameraFrozen("standing: one and the same picture")

        def close(self) -> None:
            """See `Camera.close`."""

    point = model.operating_point(settings.policy.target_fmr, allow_failed_gate=False)
    settings = settings.model_copy(update={"camera": CameraSettings(source="/dev/video0")})
    station = Station(settings, model, point, Gallery(tmp_path), Lockout(tmp_path), Journal(told))
    daemon = Daemon(station, opened=lambda _: Standing())
    monkeypatch.setattr(daemon, "_pause", pauses.append)
    monkeypatch.setattr(random, "uniform", lambda *_: 1.0)
    monkeypatch.setattr(daemon.door, "judge", lambda frame: judged.append(int(frame.pixels[0, 0, 0])))
    daemon.run()
    assert pauses == [1.0, 2.0, 4.0]
    assert judged == [90, 91]
    events = [json.loads(line) for line in told.getvalue().splitlines()]
    assert [event["event"] for event in events if event["event"].startswith("camera")] == [
        "camera-starting", "camera-running", "camera-lost", "camera-running", "camera-closed",
    ]  # fmt: skip
    assert {event["error"] for event in events if event["event"] == "camera-lost"} == {"camera-frozen"}


@pytest.mark.usefixtures("signals")
def test_who_asks_gets_no_picture_from_before_a_camera_stood_still(
    tmp_path: Path, model: ModelFile, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On demand, three callers in a row: the camera stands still, then another program holds it, then it is there again, with its old
    picture first. That is no sign of life, as the second opening failed."""
    shown, errors, asked = list[list[int | None]](), list[str](), 0

    class Standing:
        live, name = True, "standing"

        def frames(self) -> Iterator[Frame | None]:
            yield Frame(np.full((240, 320, 3), 90, np.uint8), 1.0)
            if len(shown) == 2:
                yield Frame(np.full((240, 320, 3), 91, np.uint8), 2.0)
            raise CameraFrozen("standing: one and the same picture")

        def close(self) -> None:
            """See `Camera.close`."""

    def opened(_: CameraSettings) -> Camera:
        if len(errors) == 1:
            raise CameraBusy("standing: in use by another program")
        return Standing()

    def work(frames: Frames) -> None:
        shown.append([])
        for frame in frames:
            shown[-1].append(None if frame is None else int(frame.pixels[0, 0, 0]))

    def ask(_: str) -> None:
        nonlocal asked
        if len(errors) == 3:
            daemon.stop()
        elif asked == len(errors):
            asked += 1
            daemon.desk.submit(Job(work, lambda error: errors.append(error.code)))

    settings = Settings.model_validate(settings.model_dump() | {"service": {"mode": "on-demand"}})
    point = model.operating_point(settings.policy.target_fmr, allow_failed_gate=False)
    station = Station(settings, model, point, Gallery(tmp_path), Lockout(tmp_path), Journal())
    daemon = Daemon(station, opened=opened)
    monkeypatch.setattr("edge.daemon.notify", ask)
    daemon.run()
    assert errors == ["camera-frozen", "camera-busy", "camera-frozen"]
    assert shown == [[90], [None, 91]]
