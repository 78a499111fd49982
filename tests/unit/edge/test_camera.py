"""Sources of frames: replays as they are recorded, devices that misbehave, and words for what is wrong."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge import camera as module
from edge.camera import Camera, Device, Frame, open_camera
from edge.contract.errors import CameraError, CameraWedged
from edge.settings import CameraSettings
from tests.conftest import ADA


def opened(path: object, **changes: object) -> Camera:
    return open_camera(CameraSettings.model_validate({"source": str(path), **changes}))


def test_a_video_gives_every_frame_at_its_own_time(clip: Callable[[int, int], Path]) -> None:
    frames = [frame for frame in opened(clip(ADA, 1)).frames() if frame is not None]
    assert len(frames) == 90
    assert [frame.at for frame in frames[:3]] == pytest.approx([0, 1 / 15, 2 / 15])
    assert frames[0].pixels.shape == (240, 320, 3)


def test_a_folder_gives_its_pictures_in_order_and_none_for_a_broken_one(tmp_path: Path) -> None:
    for number, value in ((2, 20), (1, 10), (4, 40)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((8, 8, 3), value, np.uint8))
    (tmp_path / "3.png").write_bytes(b"\x89PNG rubbish")
    (tmp_path / "notes.txt").write_text("")
    found = [(int(frame.pixels[0, 0, 0]), frame.at) if frame else None for frame in opened(tmp_path).frames()]
    assert found == [(10, 0.0), (20, 0.2), None, (40, pytest.approx(0.6))]


def test_what_is_no_source_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.avi").write_text("no video")
    (tmp_path / "zero.avi").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    for name, told in (
        ("none", "No such file"),
        ("empty", "no pictures"),
        ("text.avi", "not a video"),
        ("zero.avi", "not a video"),
        ("pipe", "neither"),
    ):
        with pytest.raises(CameraError, match=told) as caught:
            opened(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(CameraError, match="/dev/null: cannot open"):
        opened("/dev/null")
    with pytest.raises(CameraError, match="/dev/video987"):
        opened("987")


def test_a_folder_of_broken_pictures_is_told(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"rubbish")
    with pytest.raises(CameraError, match="not one of 1 pictures"):
        list(opened(tmp_path).frames())


class Driver:
    """Stands where cv2.VideoCapture stands; what a driver does is said by `script`, one call a read."""

    def __init__(self, script: Callable[[], tuple[bool, np.ndarray | None]]) -> None:
        self.script, self.released, self.set_to = script, threading.Event(), {}

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return True

    def set(self, key: int, value: float) -> None:
        self.set_to[key] = value

    def read(self) -> tuple[bool, np.ndarray | None]:
        return self.script()

    def release(self) -> None:
        self.released.set()


def device(
    monkeypatch: pytest.MonkeyPatch, script: Callable[[], tuple[bool, np.ndarray | None]], **changes: object
) -> tuple[Device, Driver]:
    driver = Driver(script)
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: driver)
    monkeypatch.setattr(module, "MISSED_PAUSE_S", 0.0)
    return Device("/dev/video0", CameraSettings.model_validate({"stall_s": 1.0, **changes})), driver


GOOD = np.zeros((4, 6, 3), np.uint8)


def slow() -> tuple[bool, np.ndarray]:
    time.sleep(0.01)
    return True, GOOD


def test_a_device_gives_fresh_frames_and_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    camera, driver = device(monkeypatch, slow)
    frame = next(frame for frame in camera.frames() if frame is not None)
    assert isinstance(frame, Frame)
    assert time.monotonic() - frame.at < 0.5
    assert driver.set_to[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter.fourcc(*"MJPG")
    camera.close()
    assert driver.released.is_set()


def test_an_unplugged_device_is_an_error_not_a_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    camera, driver = device(monkeypatch, lambda: (False, None))
    with pytest.raises(CameraError, match="unplugged"):
        list(camera.frames())
    camera.close()
    assert driver.released.is_set()


def test_a_flat_row_is_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    camera, _ = device(monkeypatch, lambda: (True, np.zeros((1, 921600), np.uint8)))
    with pytest.raises(CameraError, match="no picture"):
        list(camera.frames())


def test_a_driver_that_hangs_is_a_stall_and_then_wedged(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()

    def hang() -> tuple[bool, None]:
        let_go.wait(30)
        return False, None

    camera, _ = device(monkeypatch, hang)
    with pytest.raises(CameraError, match="no frame for 1 s"):
        list(camera.frames())
    with pytest.raises(CameraWedged, match="plug the camera"):
        camera.close()
    let_go.set()


def test_a_stale_frame_is_never_given(monkeypatch: pytest.MonkeyPatch) -> None:
    camera, _ = device(monkeypatch, slow, max_age_s=0.05)
    frames = camera.frames()
    assert next(frame for frame in frames if frame is not None)
    camera._stop.set()
    camera._thread.join()
    camera._newest = Frame(GOOD, time.monotonic() - 1)
    assert next(frames) is None
