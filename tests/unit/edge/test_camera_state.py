"""States of a camera: each change is reported once, dark and silent cameras are recognised, and dusk causes no flicker."""

from __future__ import annotations

import numpy as np

from edge.camera.frame import DARK_LEVEL, Frame
from edge.camera.state import CameraState, CameraWatch
from edge.contract.errors import CameraBusy, CameraError, CameraFrozen


def frame(level: int) -> Frame:
    return Frame(np.full((48, 64, 3), level, np.uint8), 0.0)


def run(script: list[tuple[float, int | None]], watch: CameraWatch | None = None) -> list[tuple[float, CameraState]]:
    """Plays (time, grey level or None for no frame) and returns the changes."""
    watch = watch or CameraWatch()
    watch.opening(0.0)
    changes = [(at, watch.saw(None if level is None else frame(level), at)) for at, level in script]
    return [(at, state) for at, state in changes if state is not None]


def test_a_warm_up_is_not_dark() -> None:
    watch = CameraWatch()
    assert run([(0.1, 0), (0.5, 2), (1.0, 40), (1.1, 90)], watch) == [(1.0, CameraState.RUNNING)]
    watch.closed()
    assert watch.opening(100.0) is CameraState.STARTING
    assert watch.saw(frame(0), 100.1) is None, "nor is that of an opening long afterwards"


def test_darkness_is_told_once_after_three_seconds_and_light_at_once() -> None:
    script = [(0.1, 100), *((0.2 + n / 10, 3) for n in range(60)), (7.0, 60)]
    (_, first), (began, dark), (ended, light) = run(script)
    assert (first, dark, light) == (CameraState.RUNNING, CameraState.DARK, CameraState.RUNNING)
    assert 3.0 < began - 0.1 <= 3.2
    assert ended == 7.0


def test_dusk_does_not_flicker() -> None:
    """A level between dark and light changes nothing: 12 is not light enough to leave the dark state, and not dark enough to enter it."""
    assert run([(n / 10, 12) for n in range(100)]) == [(0.0, CameraState.RUNNING)]
    told = run([*((n / 10, 3) for n in range(40)), *((4 + n / 10, 12 + n % 2) for n in range(100))])
    assert [state for _, state in told] == [CameraState.DARK]


def test_a_lit_face_in_a_dark_room_is_seen() -> None:
    """As before a near-infrared light. A lamp on some device far off lights nobody up, and leaves the room dark."""
    night = np.full((480, 640), 3, np.uint8)
    face, lamp = night.copy(), night.copy()
    face[200:312, 260:372] = 60  # the chip of the smallest face, 80 pixels wide, hardly light enough to be judged
    lamp[100:130, 100:130] = 255
    assert Frame(face, 0.0).brightness < DARK_LEVEL
    watch = CameraWatch()
    watch.opening(0.0)
    for n in range(50):
        watch.saw(Frame(lamp, 0.0), n / 10)
    assert watch.state is CameraState.DARK
    assert watch.saw(Frame(face, 0.0), 5.0) is CameraState.RUNNING
    for n in range(50):
        assert watch.saw(Frame(face, 0.0), 5 + n / 10) is None


def test_silence_is_a_stall_and_the_next_frame_ends_it() -> None:
    told = run([(0.1, 90), (1.0, None), (1.7, None), (2.5, None), (5.0, 90)])
    assert told == [(0.1, CameraState.RUNNING), (1.7, CameraState.STALLED), (5.0, CameraState.RUNNING)]


def test_a_still_scene_that_comes_anew_every_few_seconds_is_told_a_few_times() -> None:
    """A whole picture in four seconds, and what an H.264 camera gives between two is the same one. A silence that is longer is told."""
    told = run([(n / 4, 90 if n % 16 == 0 else None) for n in range(4 * 600)])
    assert [state for _, state in told] == [CameraState.RUNNING] + [CameraState.STALLED, CameraState.RUNNING] * 2
    watch = CameraWatch()
    *_, silent = run([(n / 4, 90 if n % 16 == 0 else None) for n in range(20)] + [(n / 4, None) for n in range(20, 99)], watch)
    assert silent == (4 + 3.25, CameraState.STALLED)
    assert watch.failed(CameraError("hangs")) is CameraState.LOST
    assert run([(0.1, 90), (1.7, None)], watch) == [(0.1, CameraState.RUNNING), (1.7, CameraState.STALLED)], "opened again"


def test_what_is_lost_is_told_once_until_a_frame_comes() -> None:
    watch = CameraWatch()
    assert watch.opening(0.0) is CameraState.STARTING
    assert watch.failed(CameraError("gone")) is CameraState.LOST
    assert watch.opening(1.0) is None
    assert watch.failed(CameraError("still gone")) is None
    assert watch.opening(3.0) is None
    assert watch.saw(None, 9.0) is None
    assert watch.failed(CameraBusy("held")) is CameraState.BUSY
    assert watch.saw(frame(90), 10.0) is CameraState.RUNNING
    assert watch.closed() is CameraState.CLOSED
    assert watch.opening(11.0) is CameraState.STARTING


def test_after_a_picture_that_stood_still_one_frame_is_no_sign_of_life() -> None:
    """Each time it is reopened it gives that picture once more. Only a second frame shows that it runs."""
    watch = CameraWatch()
    assert run([(0.1, 90)], watch) == [(0.1, CameraState.RUNNING)]
    assert watch.failed(CameraFrozen("stands still")) is CameraState.LOST
    for _ in range(3):
        assert run([(0.1, 90), (1.0, None), (9.0, None)], watch) == []
        assert watch.failed(CameraFrozen("stands still")) is None
    assert watch.failed(CameraBusy("held")) is CameraState.BUSY
    assert run([(0.1, 90)], watch) == [], "nor after an opening that failed"
    assert run([(0.2, 90)], watch) == [(0.2, CameraState.RUNNING)]
    assert watch.failed(CameraError("unplugged")) is CameraState.LOST
    assert run([(0.1, 90)], watch) == [(0.1, CameraState.RUNNING)], "of others the first frame is"
