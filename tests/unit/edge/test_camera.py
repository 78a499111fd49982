"""Sources of frames: replays as recorded, devices that misbehave, and messages about what is wrong."""

from __future__ import annotations

import gc
import json
import os
import threading
import time
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from edge.camera import Camera, Frame, csi, is_replay, live, open_camera, v4l2
from edge.camera.live import Live
from edge.camera.source import Kind, Source, source_of
from edge.camera.stream import without_password
from edge.cli import app, looking
from edge.clock import seconds_since_boot
from edge.contract.errors import CameraBusy, CameraError, CameraFrozen, CameraWedged, PackageMissing, SettingsError
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


def test_one_picture_over_and_over_is_shown_five_times_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not as fast as it can be read, which would occupy a whole core."""
    now, shown = 0.0, 0

    def nap(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr("edge.camera.replay.time", SimpleNamespace(monotonic=lambda: now, sleep=nap))
    cv2.imwrite(str(tmp_path / "1.png"), np.full((8, 8, 3), 90, np.uint8))
    for frame in opened(tmp_path, replay="loop").frames():
        shown += frame is not None
        if now > 2.0 or shown > 100:
            break
    assert 10 <= shown <= 12


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
    """Replaces cv2.VideoCapture. `script` is called once per read and decides what the driver does."""

    def __init__(self, script: Callable[[], tuple[bool, np.ndarray | None]]) -> None:
        self.script, self.released, self.set_to = script, threading.Event(), {}
        self.stamp_ms: Callable[[], float] = lambda: 0.0

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return True

    def set(self, key: int, value: float) -> None:
        self.set_to[key] = value

    def get(self, key: int) -> float:
        assert key == cv2.CAP_PROP_POS_MSEC
        return self.stamp_ms()

    def read(self) -> tuple[bool, np.ndarray | None]:
        return self.script()

    def release(self) -> None:
        self.released.set()


def device(
    monkeypatch: pytest.MonkeyPatch, script: Callable[[], tuple[bool, np.ndarray | None]], **changes: object
) -> tuple[Live, Driver]:
    driver = Driver(script)
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: driver)
    monkeypatch.setattr(live, "MISSED_PAUSE_S", 0.0)
    monkeypatch.setattr(live, "LET_GO_S", 1.0)
    return v4l2.open_device("/dev/video0", CameraSettings.model_validate({"stall_s": 1.0, **changes})), driver


def ahead_since_boot(monkeypatch: pytest.MonkeyPatch, slept_s: Callable[[], float]) -> None:
    """Sets only the clock that runs on during sleep ahead, by the time the machine has slept."""
    real = time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda clock: real(clock) + slept_s() * (clock == time.CLOCK_BOOTTIME))


GOOD = np.zeros((4, 6, 3), np.uint8)


def slow() -> tuple[bool, np.ndarray]:
    time.sleep(0.01)
    return True, GOOD


def test_a_device_gives_fresh_frames_and_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    camera, driver = device(monkeypatch, slow)
    frame = next(frame for frame in camera.frames() if frame is not None)
    assert isinstance(frame, Frame)
    assert 0 <= seconds_since_boot() - frame.at < 0.5
    assert driver.set_to[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter.fourcc(*"MJPG")
    camera.close()
    assert driver.released.is_set()


def test_an_unplugged_device_is_an_error_not_a_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    camera, driver = device(monkeypatch, lambda: (False, None))
    with pytest.raises(CameraError, match="unplugged"):
        list(camera.frames())
    camera.close()
    assert driver.released.is_set()


def test_what_a_driver_raises_is_told_and_the_device_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises() -> tuple[bool, None]:
        raise cv2.error("OpenCV: (-4) Insufficient memory\n in function 'OutOfMemoryError'\n")

    camera, driver = device(monkeypatch, raises)
    with pytest.raises(
        CameraError, match=r"^/dev/video0: its driver fails: error: OpenCV: \(-4\) Insufficient memory in function"
    ):
        list(camera.frames())
    camera.close()
    assert driver.released.is_set()


def test_a_device_that_cannot_be_given_back_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    camera, driver = device(monkeypatch, slow)

    def refuses() -> None:
        raise RuntimeError("still streaming")

    driver.release = refuses
    assert next(frame for frame in camera.frames() if frame is not None)
    with pytest.raises(CameraError, match="/dev/video0: the device cannot be released: RuntimeError: still streaming"):
        camera.close()


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
    camera._newest = Frame(GOOD, seconds_since_boot() - 1)
    assert next(frames) is None


def test_a_frame_from_before_a_sleep_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine sleeps for an hour with a frame waiting: the clock since boot runs on, the monotonic clock does not."""
    camera, _ = device(monkeypatch, slow)
    frames = camera.frames()
    assert next(frame for frame in frames if frame is not None)
    camera._stop.set()
    camera._thread.join()
    camera._newest = Frame(GOOD, seconds_since_boot())
    ahead_since_boot(monkeypatch, lambda: 3600.0)
    assert next(frames) is None


def test_what_lay_in_the_buffers_while_the_machine_slept_is_no_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty frames, an hour's sleep, four frames from before it that come at once, and then current frames."""
    slept, number = 0.0, 0
    ahead_since_boot(monkeypatch, lambda: slept)

    def script() -> tuple[bool, np.ndarray]:
        nonlocal slept, number
        number += 1
        if number == 21:
            slept = 3600.0
        if not 21 <= number < 25:
            time.sleep(0.03)
        return True, np.full((4, 6, 3), number, np.uint8)

    camera, _ = device(monkeypatch, script)
    given = []
    for frame in camera.frames():
        if frame is not None:
            given.append(int(frame.pixels[0, 0, 0]))
            if given[-1] > 30:
                break
    camera.close()
    assert not {21, 22, 23, 24} & set(given), given
    assert any(n <= 20 for n in given)


def stamped(monkeypatch: pytest.MonkeyPatch, ages_s: list[float], sleeps: dict[int, float]) -> dict[int, float]:
    """By the number of each frame that a V4L2 device delivers: seconds from the driver's stamp to the frame's time. The driver stamps
    frame n `ages_s[n - 1]` before its read returns, on the clock that stops during sleep. The machine `sleeps` so long in read n."""
    slept, number, real = 1000.0, 0, time.clock_gettime
    ahead_since_boot(monkeypatch, lambda: slept)
    done, given, stamps_s = threading.Event(), dict[int, float](), dict[int, float]()

    def script() -> tuple[bool, np.ndarray | None]:
        nonlocal number, slept
        if number == len(ages_s):
            done.set()
            return False, None
        number += 1
        slept += sleeps.get(number, 0.0)
        return True, np.full((4, 6, 3), 100 + number, np.uint8)

    def stamp_ms() -> float:
        stamps_s[number] = time.monotonic() - ages_s[number - 1]
        return 1000 * stamps_s[number]

    def publish(_: Live, frame: Frame | None, __: str | None) -> None:
        if frame is not None:
            given[number] = frame.at - stamps_s[number] - real(time.CLOCK_BOOTTIME) + time.monotonic() - slept

    driver = Driver(script)
    driver.stamp_ms = stamp_ms
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: driver)
    monkeypatch.setattr(Live, "_publish", publish)
    camera = v4l2.open_device("/dev/video0", CameraSettings())
    assert done.wait(10)
    camera.close()
    return given


def test_a_frames_age_counts_from_its_exposure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's stamp counts, also on a machine that has slept before. A stamp in the future, or far too old, is ignored."""
    given = stamped(monkeypatch, [0.4, 0.3, 0.2, 0.1, -5.0, 500.0], {})
    assert {number: round(after_s) for number, after_s in given.items()} == {2: 0, 3: 0, 4: 0, 5: -5, 6: 500}
    assert max(abs(given[number]) for number in (2, 3, 4)) < 0.01


def test_a_frame_that_lay_in_a_buffer_is_old_however_soon_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(stamped(monkeypatch, [0.2, 0.1, 3.0, 2.0, 1.0, 0.0], {})) == [2, 6]


def test_a_frame_from_before_a_short_sleep_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sleep is too short to be noticed as a pause between two reads, and the driver's clock did not run during it."""
    assert list(stamped(monkeypatch, [0.36, 0.35, 0.34, 0.1], {3: 0.3})) == [2, 4]


def test_one_and_the_same_picture_again_is_no_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is not reopened for it: a still scene from a codec is no fault. The next picture that differs is a frame."""
    picture, moved = np.full((48, 64, 3), 90, np.uint8), threading.Event()

    def script() -> tuple[bool, np.ndarray]:
        time.sleep(0.01)
        return True, picture + np.uint8(moved.is_set())

    camera, _ = device(monkeypatch, script, stall_s=1.0)
    given, until = [], time.monotonic() + 1.3
    for frame in camera.frames():
        given += [] if frame is None else [int(frame.pixels[0, 0, 0])]
        if time.monotonic() > until:
            moved.set()
        if given:
            break
    camera.close()
    assert given == [91], "nor is the first: a driver that hangs gives its one picture at every opening"


def test_a_camera_that_stands_still_for_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up so that it is reopened, although every read gives a picture: always the same one."""
    picture, reads, later, real = np.full((48, 64, 3), 90, np.uint8), 0, 0.0, time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + later)

    def script() -> tuple[bool, np.ndarray]:
        nonlocal reads
        reads += 1
        time.sleep(0.01)
        return True, picture + np.uint8(reads > 1)

    camera, driver = device(monkeypatch, script, frozen_s=5.0, stall_s=20.0)
    frames = camera.frames()
    assert next(frame for frame in frames if frame is not None)
    assert next(frames) is None
    later = 4.0
    assert next(frames) is None
    later = 8.0
    with pytest.raises(CameraFrozen, match=r"^/dev/video0: one and the same picture for 5 s"):
        list(frames)
    camera.close()
    assert driver.released.is_set()


def test_frames_are_turned_and_mirrored(tmp_path: Path) -> None:
    picture = np.zeros((4, 8, 3), np.uint8)
    picture[0, 0] = 255  # top left
    cv2.imwrite(str(tmp_path / "1.png"), picture)

    def bright(**changes: object) -> tuple[tuple[int, ...], tuple[int, int]]:
        (frame,) = opened(tmp_path, **changes).frames()
        assert frame is not None
        y, x = np.argwhere(frame.pixels[..., 0] == 255)[0]
        return frame.pixels.shape[:2], (int(y), int(x))

    assert bright() == ((4, 8), (0, 0))
    assert bright(rotate=90) == ((8, 4), (0, 3))
    assert bright(rotate=180) == ((4, 8), (3, 7))
    assert bright(rotate=270) == ((8, 4), (7, 0))
    assert bright(mirror=True) == ((4, 8), (0, 7))
    assert bright(rotate=90, mirror=True) == ((8, 4), (0, 0))


@pytest.mark.parametrize(
    ("source", "replay"),
    [
        ("0", False), ("/dev/v4l/by-id/usb-cam", False), ("046d:0825", False), ("csi", False), ("csi:1", False),
        ("http://127.0.0.1/stream", False), ("rtsp://cam/1", False), ("clip.avi", True), ("faces", True),
        ("video0", False), ("046D:0825", False), ("CSI:10", False), ("RTSP://cam/1", False), ("./video0", True),
        ("a film: part 1.avi", True),
    ],
)  # fmt: skip
def test_what_is_waited_for_and_what_is_not(source: str, replay: bool) -> None:
    assert is_replay(source) is replay


@pytest.mark.parametrize(
    ("source", "kind", "text"),
    [
        ("2", Kind.NODE, "/dev/video2"), ("video0", Kind.NODE, "/dev/video0"), ("VIDEO10", Kind.NODE, "/dev/video10"),
        (" /dev/video0 ", Kind.NODE, "/dev/video0"), ("046D:0825", Kind.USB_ID, "046d:0825"), ("1234:5678", Kind.USB_ID, "1234:5678"),
        ("csi", Kind.RIBBON, "csi:0"), ("CSI:1", Kind.RIBBON, "csi:1"), ("csi0", Kind.RIBBON, "csi:0"), ("csi:10", Kind.RIBBON, "csi:10"),
        ("RTSP://Ada:Pw@Cam/Live", Kind.ADDRESS, "rtsp://Ada:Pw@Cam/Live"), ("HTTPS://cam", Kind.ADDRESS, "https://cam"),
        ("clip.avi", Kind.RECORDING, "clip.avi"), ("./csi", Kind.RECORDING, "./csi"), ("video0.avi", Kind.RECORDING, "video0.avi"),
        ("csi-faces", Kind.RECORDING, "csi-faces"), ("Clip 1.00\u202fPM.mov", Kind.RECORDING, "Clip 1.00\u202fPM.mov"),
    ],
)  # fmt: skip
def test_a_source_is_what_a_person_means(source: str, kind: Kind, text: str) -> None:
    assert source_of(source) == Source(kind, text)
    assert source_of(text) == Source(kind, text)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("  ", "names nothing"), ("1234", "no video node"), ("csi:imx708", "csi:0, csi:1"),
        ("46d:825", "four digits"), ("046d:08255", "four digits"), ("ftp://cam/1", "http://, https://, rtsp://, rtsps:// and its host"),
        ("a\0b", "holds a character"), ("file:///clip.avi", "http://"), ("rtsp:/cam", "http://"), ("http://", "http://"),
    ],
)  # fmt: skip
def test_what_is_like_a_camera_and_none_is_an_error_of_the_settings(source: str, told: str) -> None:
    for meant in (source_of, is_replay, opened):
        with pytest.raises(SettingsError, match=told):
            meant(source)


def sysfs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: dict[str, tuple[str, int]], driver: str = "uvcvideo"
) -> None:
    """Makes video nodes as the kernel lists them. `answers` has the card and capabilities of each, as QUERYCAP returns them."""
    usb = tmp_path / "devices/usb1/1-1"
    (usb / "1-1:1.0").mkdir(parents=True)
    (usb / "idVendor").write_text("046d\n")
    (usb / "idProduct").write_text("0825\n")
    for name in answers:
        (tmp_path / "class" / name).mkdir(parents=True)
        (tmp_path / "class" / name / "device").symlink_to(usb / "1-1:1.0")
    handles = {}

    def opens(path: str, _: int) -> int:
        name = Path(path).name
        if answers[name][0] == "locked":
            raise PermissionError(13, "Permission denied")
        handle = real_open("/dev/null", os.O_RDONLY)
        handles[handle] = name
        return handle

    real_open = os.open

    def ask(handle: int, request: int, _: bytes) -> bytes:
        assert request == 0x80685600
        card, capabilities = answers[handles[handle]]
        return v4l2._CAPABILITY.pack(driver.encode(), card.encode(), b"usb", 0, 0x80000000, capabilities)

    monkeypatch.setattr(v4l2, "SYSFS", tmp_path / "class")
    monkeypatch.setattr(
        v4l2.os, "open", lambda path, flags: opens(path, flags) if "video" in str(path) else real_open(path, flags)
    )
    monkeypatch.setattr(v4l2.fcntl, "ioctl", ask)


def test_codecs_and_metadata_nodes_are_no_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "video10": ("codec", 0x8000),
        "video2": ("Webcam", 0x1),
        "video1": ("Webcam", 0x00800000),
        "video3": ("locked", 0),
    }
    sysfs(tmp_path, monkeypatch, answers)
    found = {node.path: node for node in v4l2.nodes()}
    assert list(found) == ["/dev/video1", "/dev/video2", "/dev/video3", "/dev/video10"]
    assert found["/dev/video2"].problem == ""
    assert found["/dev/video2"].card == "Webcam"
    assert found["/dev/video2"].usb_id == "046d:0825"
    assert "metadata" in found["/dev/video1"].problem
    assert "codec" in found["/dev/video10"].problem
    assert "group video" in found["/dev/video3"].problem
    assert v4l2.node_of_usb_id("046d:0825") == "/dev/video2"
    with pytest.raises(CameraError, match="dead:beef: no such camera; plugged in: 046d:0825"):
        v4l2.node_of_usb_id("dead:beef")


@pytest.mark.parametrize("driver", ["unicam", "rp1-cfe", "bcm2835-isp", "pispbe"])
def test_a_pis_nodes_that_capture_and_are_no_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str) -> None:
    """Only the driver tells: they claim VIDEO_CAPTURE like a camera, and open. The reason is given for a link to one, too."""
    sysfs(tmp_path, monkeypatch, {"video0": (driver, 0x1)}, driver)
    (node,) = v4l2.nodes()
    assert "csi:0, with python3-picamera2" in node.problem
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: pytest.fail("it is not opened for pictures"))
    (tmp_path / "by-path").symlink_to("/dev/video0")
    for name in ("/dev/video0", str(tmp_path / "by-path")):
        with pytest.raises(CameraError, match=f"^{name}: (gives|is) .*; .*csi:0"):
            v4l2.open_device(name, CameraSettings())


def test_a_camera_that_is_pulled_out_while_it_is_asked_about_has_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel ends such a read with ENODEV. A daemon that is just reopening the camera must survive that."""
    sysfs(tmp_path, monkeypatch, {"video0": ("Webcam", 0x1)})

    def pulled_out(path: Path, *_: object) -> str:
        raise OSError(19, "No such device", str(path))

    monkeypatch.setattr(Path, "read_text", pulled_out)
    (node,) = v4l2.nodes()
    assert node.usb_id == ""
    with pytest.raises(CameraError, match="046d:0825: no such camera"):
        opened("046d:0825")


def test_without_picamera2_it_is_said_that_no_ribbon_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sysfs(tmp_path, monkeypatch, {})
    (tmp_path / "class").mkdir()

    def missing() -> None:
        raise PackageMissing("csi cameras need picamera2: apt install python3-picamera2")

    monkeypatch.setattr(csi, "_import_picamera2", missing)
    shown = CliRunner().invoke(app, ["cameras"], env={"COLUMNS": "400"})
    assert (shown.exit_code, "ribbon cable were not looked for: csi cameras need picamera2: apt install" in shown.stdout) == (
        0,
        True,
    )
    told = json.loads(CliRunner().invoke(app, ["cameras", "--json"]).stdout)
    assert (told["csi"], told["csi_problem"]) == ([], "csi cameras need picamera2: apt install python3-picamera2")


def test_a_cameras_names_that_outlive_a_reboot_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`edge cameras` has them in its table and in its JSON."""
    sysfs(tmp_path, monkeypatch, {"video0": ("Front", 0x1), "video2": ("Back", 0x1)})
    for folder, names in (("by-id", {"usb-front": 0}), ("ours", {"camera": 2, "port-1.3": 2, "port-1.4": 0})):
        (tmp_path / folder).mkdir()
        for name, number in names.items():
            (tmp_path / folder / name).symlink_to(f"/dev/video{number}")
    monkeypatch.setattr(v4l2, "BY_ID", tmp_path / "by-id")
    monkeypatch.setattr(v4l2, "OURS", tmp_path / "ours")
    front, back = v4l2.nodes()
    assert (front.stable_path, front.names) == (str(tmp_path / "by-id/usb-front"), (str(tmp_path / "ours/port-1.4"),))
    assert (back.stable_path, back.names) == ("", (str(tmp_path / "ours/camera"), str(tmp_path / "ours/port-1.3")))
    told = CliRunner().invoke(app, ["cameras", "--json"]).stdout
    assert [len(node["names"]) for node in json.loads(told)["v4l2"]] == [1, 2]
    monkeypatch.setattr(looking, "console", Console(width=1000))
    shown = CliRunner().invoke(app, ["cameras"]).stdout
    assert all(name in shown for name in (front.stable_path, *front.names, *back.names))
    monkeypatch.setattr(looking, "console", Console(width=80))
    assert "…" not in CliRunner().invoke(app, ["cameras"]).stdout, "a name that is cut off cannot be copied"


class Ribbon:
    """The part of picamera2 that is used, with one camera. `starts`: it can be started; `busy`: another program has it; `asked` records
    what was asked of it."""

    def __init__(self, age_s: float = 0.0) -> None:
        self.age_s = age_s
        self.busy, self.starts = False, True
        self.asked: dict[str, object] = {}
        outer = self

        class Request:
            def make_array(self, name: str) -> np.ndarray:
                assert name == "main"
                return GOOD

            def get_metadata(self) -> dict[str, object]:
                return {"SensorTimestamp": round((seconds_since_boot() - outer.age_s) * 1e9), "ExposureTime": 8000}

            def release(self) -> None:
                outer.asked["requests released"] = True

        class Picamera2:
            acquired = False

            @staticmethod
            def global_camera_info() -> list[dict[str, str]]:
                return [{"Model": "imx708"}]

            def __init__(self, number: int) -> None:
                # As in the library: `notifyme_w` is a bare descriptor, which `close` closes only if the camera was opened.
                self.notifyme_r, self.notifyme_w = os.pipe()
                self.notifymeread = os.fdopen(self.notifyme_r, "rb")
                self.is_open = False
                try:
                    if outer.busy or Picamera2.acquired:
                        raise RuntimeError("Failed to acquire camera: Device or resource busy")
                except RuntimeError as error:
                    raise RuntimeError("Camera __init__ sequence did not complete.") from error
                self.is_open = Picamera2.acquired = True

            def create_video_configuration(self, **given: object) -> dict[str, object]:
                outer.asked |= given
                return given

            def configure(self, _: object) -> None: ...

            def start(self) -> None:
                if not outer.starts:
                    raise RuntimeError("Failed to start camera: Broken pipe")
                outer.asked["started"] = True

            def capture_request(self) -> Request:
                time.sleep(0.01)
                return Request()

            def stop(self) -> None: ...

            def close(self) -> None:
                if self.is_open:
                    self.is_open = Picamera2.acquired = False
                    self.notifymeread.close()
                    os.close(self.notifyme_w)
                    outer.asked["closed"] = True

        self.Picamera2 = Picamera2


def test_a_ribbon_camera_gives_frames_and_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    ribbon = Ribbon(age_s=0.25)
    monkeypatch.setattr(csi, "_import_picamera2", lambda: ribbon)
    camera = opened("csi:0", exposure=8000)
    frame = next(frame for frame in camera.frames() if frame is not None)
    assert frame.pixels.shape == GOOD.shape
    assert seconds_since_boot() - frame.at >= 0.25, "as the sensor's stamp says"
    camera.close()
    assert ribbon.asked["requests released"]
    assert ribbon.asked["main"] == {"size": (640, 480), "format": "RGB888"}
    assert ribbon.asked["controls"] == {"AeEnable": False, "ExposureTime": 8000}
    assert ribbon.asked["closed"]
    assert csi.cameras() == ["imx708"]
    with pytest.raises(CameraError, match="csi:3: no such camera; libcamera knows of 1"):
        opened("csi:3")


def test_a_ribbon_camera_that_another_program_has_is_busy_and_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """picamera2 keeps libcamera's message as the cause of its own error, and leaks a descriptor per try: hundreds in a night."""
    ribbon = Ribbon()
    monkeypatch.setattr(csi, "_import_picamera2", lambda: ribbon)
    ribbon.busy = True
    open_before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with pytest.raises(
            CameraBusy, match="csi:0: cannot open: Failed to acquire camera: Device or resource busy; is it in use"
        ):
            opened("csi")
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= open_before
    ribbon.busy = False
    opened("csi").close()


def test_a_ribbon_camera_that_cannot_be_started_is_given_back_and_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera that this process acquired and did not release would be busy at every later try."""
    ribbon = Ribbon()
    monkeypatch.setattr(csi, "_import_picamera2", lambda: ribbon)
    ribbon.starts = False
    with pytest.raises(CameraError, match="csi:0: cannot open: Failed to start camera: Broken pipe"):
        opened("csi")
    assert ribbon.asked["closed"]
    ribbon.starts = True
    camera = opened("csi")
    assert next(frame for frame in camera.frames() if frame is not None)
    camera.close()


def test_an_address_gives_frames_and_keeps_its_password(tmp_path: Path) -> None:
    """MJPEG over loopback, as cheap cameras send it; then an address where nothing listens. Like a relay, the server first sends pictures
    from before the connection, none of which may become a frame."""
    kept, live = (
        [cv2.imencode(".jpg", np.full((48, 64, 3), level, np.uint8))[1] for level in range(*span)]
        for span in ((20, 100), (120, 220))
    )

    class Stream(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for number, jpeg in enumerate([*kept, *live]):
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                try:
                    self.wfile.write(head.encode() + jpeg.tobytes() + b"\r\n")
                except OSError:
                    return
                time.sleep(0.04 * (number >= len(kept)))

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Stream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        camera = opened(f"http://ada:secret@127.0.0.1:{server.server_port}/stream.mjpg?token=secret", max_age_s=5.0)
        assert camera.live
        assert "secret" not in camera.name
        assert isinstance(camera, Live)
        assert camera._period_s == 1 / 25
        frame = next(frame for frame in camera.frames() if frame is not None)
        assert (frame.pixels.shape, frame.pixels.min() > 110) == ((48, 64, 3), True)
        camera.close()
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(CameraError, match="no stream") as caught:
        opened(f"http://ada:secret@127.0.0.1:{server.server_port}/stream.mjpg?token=secret", stall_s=2.0)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("rtsp://a:b@cam:554/1", "rtsp://cam:554/1"),
        ("rtsp://cam:554/1", "rtsp://cam:554/1"),
        ("http://a@[fe80::1]:80", "http://[fe80::1]:80"),
        ("HTTP://cam/video.cgi?user=a&password=b", "HTTP://cam/video.cgi"),
        ("http://cam?password=b", "http://cam"),
        ("http://cam/x#token", "http://cam/x"),
        ("rtsp://cam:554/user=a&password=b&channel=1.sdp", "rtsp://cam:554/user"),
        ("rtsp://cam/x;password=b", "rtsp://cam/x"),
        ("rtsp://a:b@c@cam/1", "rtsp://cam/1"),
        # Not escaped: the part before the @ may be a password; the part after it may or may not be the host.
        ("rtsp://a:b/c@cam/1", "rtsp://..."),
        ("rtsp://a:b?c@cam/1", "rtsp://..."),
        ("http://cam/x?mail=a@b", "http://..."),
        ("/dev/v4l/by-id/usb-a@b?c#d", "/dev/v4l/by-id/usb-a@b?c#d"),
    ],
)
def test_an_address_is_told_without_what_is_secret(address: str, told: str) -> None:
    assert without_password(address) == told


@pytest.mark.parametrize("source", ["ftp://ada:secret@cam/film?token=secret", "rtsp:ada:secret@cam/film?secret"])
def test_a_kind_of_address_that_there_is_not_is_told_without_its_password_too(source: str) -> None:
    with pytest.raises(SettingsError, match=r"a camera in the network is http://") as caught:
        opened(source)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        "admin:secret@10.0.0.5:554/h264", "//admin:secret@cam/1", "rtsp//admin:secret@cam/1", "cam:sec/ret@10.0.0.5",
        "cam/video.cgi?password=secret", "10.0.0.5:554/user=admin&password=secret&channel=1", "cam/user=admin_password=secret_stream=0",
    ],
)  # fmt: skip
def test_an_address_without_its_scheme_is_no_recording_and_is_told_without_its_password(source: str) -> None:
    with pytest.raises(SettingsError, match="an address without its scheme: write http://") as caught:
        opened(source)
    assert "secret" not in str(caught.value)
    for folder in ("./", "../", "/var/clips/"):
        assert source_of(folder + source.strip("/")).kind is Kind.RECORDING


def test_a_picture_of_more_pixels_than_can_be_read_is_a_broken_one(tmp_path: Path) -> None:
    good = tmp_path / "b.png"
    cv2.imwrite(str(good), np.full((4, 6, 3), 9, np.uint8))
    data = bytearray(good.read_bytes())
    data[16:24] = (40000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(data)
    broken, read = list(opened(tmp_path).frames())
    assert broken is None
    assert read is not None


def test_what_queued_up_in_a_network_while_nobody_read_is_not_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A board that decodes no faster than the frames were taken would never catch up, so the camera is reopened."""
    slept, number = 0.0, 0
    ahead_since_boot(monkeypatch, lambda: slept)

    def script() -> tuple[bool, np.ndarray]:
        nonlocal slept, number
        number += 1
        slept = 60.0 if number > 20 else 0.0
        time.sleep(0.03)
        return True, np.full((4, 6, 3), number, np.uint8)

    camera, _ = device(monkeypatch, script)
    camera._period_s = 0.03
    given = []
    with pytest.raises(CameraError, match=r"nothing was read for 60\.0 s; what has queued up meanwhile is old"):
        given += [int(frame.pixels[0, 0, 0]) for frame in camera.frames() if frame is not None]
    camera.close()
    assert set(given) <= {*range(1, 21)}


@pytest.mark.parametrize(("decoding_s", "goes_on"), [(0.002, True), (0.03, False)])
def test_a_network_that_is_silent_for_a_moment_ends_nothing_where_the_board_catches_up(
    monkeypatch: pytest.MonkeyPatch, decoding_s: float, goes_on: bool
) -> None:
    """The camera takes a frame every 30 ms. Those of a silence of 0.7 s come once the network is back, as fast as they are decoded."""
    now, number = 0.0, 0
    monkeypatch.setattr("edge.camera.live.seconds_since_boot", lambda: now)

    def script() -> tuple[bool, np.ndarray | None]:
        nonlocal now, number
        number += 1
        taken = 0.03 * number
        now = max(now + decoding_s, taken if not 1.0 < taken < 1.7 else 1.7)
        time.sleep(0.001)
        return number < 200, np.full((4, 6, 3), number, np.uint8)

    camera, _ = device(monkeypatch, script)
    camera._period_s = 0.03
    given: list[Frame] = []
    with pytest.raises(CameraError, match="gives no more frames" if goes_on else "nothing was read for 0.7 s"):
        given += (frame for frame in camera.frames() if frame is not None)
    camera.close()
    assert all(frame.at - 0.03 * frame.pixels[0, 0, 0] < 0.1 for frame in given), "none is of before"
    assert any(frame.at > 2.0 for frame in given) is goes_on


def test_a_picture_of_any_name_is_read_and_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    """A Latin-1 name, as in old archives, crashed the process in OpenCV, and a pipe blocked it."""
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), np.full((4, 6, 3), 9, np.uint8))
    picture.rename(os.fsdecode(os.fsencode(tmp_path) + b"/J\xfcrgen.png"))
    os.mkfifo(tmp_path / "b.png")
    (tmp_path / "c.png").mkdir()
    (tmp_path / "d.png").write_bytes(b"")
    pipe, folder, empty, found = sorted(opened(tmp_path).frames(), key=lambda frame: frame is not None)
    assert (pipe, folder, empty) == (None, None, None)
    assert found is not None
    assert found.pixels.shape == (4, 6, 3)
