"""How a verification ends: time runs out without frames, an intent does not come, or quiet hours begin."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from edge.camera import Frame
from edge.camera.replay import Video
from edge.contract.errors import (
    CameraError,
    EnrolmentStopped,
    FaceKnown,
    InputError,
    ModelUnproven,
    StorageError,
    TemplatesFull,
)
from edge.contract.modelfile import ModelFile
from edge.gallery import Gallery, new_subject
from edge.journal import Journal
from edge.line import Judged
from edge.lockout import ANYONE, Lockout
from edge.policy import Denial, Grant, Policy
from edge.reasons import Reason
from edge.settings import Settings
from edge.station import MOST_TEMPLATES, Manner, Station, remove_subject
from tests.conftest import ADA, BOB

Clip = Callable[[int, int], Path]


@pytest.fixture
def told() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def station(tmp_path: Path, model: ModelFile, settings: Settings, told: io.StringIO, clip: Clip) -> Station:
    """A station with ada enrolled."""
    point = model.operating_point(settings.policy.target_fmr, allow_failed_gate=False)
    made = Station(settings, model, point, Gallery(tmp_path), Lockout(tmp_path), Journal(told))
    made.enrol("ada", Video(clip(ADA, 1)).frames(), lambda *_: None, Manner.NEW)
    return made


def hours(station: Station, *spans: str) -> None:
    policy = station.settings.policy.model_copy(update={"quiet_hours": spans})
    station.settings = station.settings.model_copy(update={"policy": policy})


def test_a_live_match_is_granted_and_told(station: Station, told: io.StringIO, clip: Clip) -> None:
    decision = station.verify("ada", Video(clip(ADA, 2)).frames(), 15.0)
    assert isinstance(decision, Grant)
    assert decision.subject == "ada"
    assert json.loads(told.getvalue().splitlines()[-1])["event"] == "accept"


def test_time_passes_without_frames(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def silent() -> Iterator[Frame | None]:
        nonlocal now
        while True:
            now += 1.0
            yield None

    monkeypatch.setattr("time.monotonic", lambda: now)
    assert station.verify("ada", silent(), 5.0) == Denial(Reason.NO_FRAMES, 0)
    assert now == 6.0
    assert station.lockout.everyone() == {}


def test_no_frame_is_judged_before_the_intent(station: Station, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def frames() -> Iterator[Frame | None]:
        nonlocal now
        for frame in Video(clip(ADA, 2)).frames():
            now += 0.1
            yield frame

    def unlooked(*_: object) -> None:
        raise AssertionError("a frame was judged")

    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr(station.line, "judge", unlooked)
    assert station.verify("ada", frames(), 5.0, missing=lambda: True) == Denial(Reason.NOT_ASKED, 0)


def test_quiet_hours_deny_without_a_look(station: Station, clip: Clip) -> None:
    def unlooked() -> Iterator[Frame | None]:
        raise AssertionError("the camera was opened")
        yield

    hours(station, "00:00-12:00", "12:00-00:00")
    assert station.verify(None, unlooked(), 5.0) == Denial(Reason.QUIET_HOURS, 0)
    assert station.lockout.everyone() == {}


def test_a_stranger_counts_under_the_name_that_was_asked_for(station: Station, model: ModelFile, clip: Clip) -> None:
    far = np.ones((3, model.head.size), np.float32)
    station.gallery.write(new_subject("bob", model.model_id, far), replace=False)
    decision = station.verify("bob", Video(clip(ADA, 2)).frames(), 15.0)
    assert isinstance(decision, Denial)
    assert decision.reason is Reason.WRONG_SUBJECT
    assert station.lockout.everyone() == {"bob": 1}
    assert ANYONE not in station.lockout.everyone()


def test_looks_are_not_added_without_end(station: Station, model: ModelFile) -> None:
    (ada,) = station.gallery.read_for(model.model_id, model.head.size)[0]
    many = np.tile(ada.templates, (MOST_TEMPLATES // len(ada.templates), 1))
    station.gallery.write(new_subject("ada", model.model_id, many), replace=True)
    with pytest.raises(TemplatesFull, match=f"has {MOST_TEMPLATES} templates.*--replace"):
        station.enrol("ada", iter(()), lambda *_: None, Manner.ADD)


def test_who_was_removed_meanwhile_is_not_let_in(station: Station, told: io.StringIO, clip: Clip) -> None:
    def frames() -> Iterator[Frame | None]:
        yield from list(Video(clip(ADA, 2)).frames())[:20]
        station.gallery.remove("ada")
        yield from list(Video(clip(ADA, 2)).frames())[20:]

    policy = station.settings.policy.model_copy(update={"matches": 20, "frames": 60, "window_s": 30.0})
    station.settings = station.settings.model_copy(update={"policy": policy})
    decision = station.verify(None, frames(), 15.0)
    assert (decision.__class__, decision.reason) == (Denial, Reason.GALLERY_CHANGED)  # type: ignore[union-attr]
    assert station.lockout.read(ANYONE, 30.0).count == 0, "nobody failed"


def test_who_is_removed_while_the_gallery_is_read_is_not_let_in(
    station: Station, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = station.gallery.read_for

    def read_for(model_id: str, size: int) -> object:
        found = real(model_id, size)
        station.gallery.remove("ada")
        return found

    monkeypatch.setattr(station.gallery, "read_for", read_for)
    decision = station.verify(None, Video(clip(ADA, 2)).frames(), 15.0)
    assert (decision.__class__, decision.reason) == (Denial, Reason.GALLERY_CHANGED)  # type: ignore[union-attr]


def test_who_is_locked_out_meanwhile_is_not_let_in_and_a_grant_ends_the_count(station: Station, clip: Clip) -> None:
    """Whoever fails beside this attempt, as through another process, must not gain by it that the failures are forgotten."""

    def frames(failures: int) -> Iterator[Frame | None]:
        for number, frame in enumerate(Video(clip(ADA, 2)).frames()):
            if number == 3:
                for _ in range(failures):
                    Lockout(station.gallery.folder.parent).fail("ada", station.settings.policy)
            yield frame

    assert isinstance(station.verify("ada", frames(4), 15.0), Grant)
    assert station.lockout.everyone() == {}
    assert station.verify("ada", frames(5), 15.0) == Denial(Reason.LOCKED_OUT, 3)
    assert station.lockout.everyone() == {"ada": 5}


def test_time_passes_with_frames_of_nobody(station: Station) -> None:
    """Otherwise whoever asks and stays away would keep the camera."""
    taken: list[float] = []

    def nobody() -> Iterator[Frame | None]:
        for second in range(100):
            taken.append(float(second))
            yield Frame(np.full((240, 320, 3), 120, np.uint8), float(second))

    assert station.verify("ada", nobody(), 5.0) == Denial(Reason.NO_FACE, 0)
    assert taken[-1] == 6.0


@pytest.mark.parametrize("ends", ["with a denial", "by a broken camera"])
def test_of_who_was_removed_meanwhile_no_count_is_kept(station: Station, monkeypatch: pytest.MonkeyPatch, ends: str) -> None:
    def judge(frame: Frame, matcher: object, threshold: float, policy: Policy) -> Judged:
        return Judged(Reason.NO_MATCH, policy.observe(Reason.NO_MATCH, frame.at), None, 1.0)

    def frames() -> Iterator[Frame | None]:
        yield from (Frame(np.zeros((2, 2, 3), np.uint8), 0.1 * number) for number in range(9))
        remove_subject(station.gallery, station.lockout, station.journal, "ada")
        if ends == "by a broken camera":
            raise CameraError("the cable was pulled")
        yield Frame(np.zeros((2, 2, 3), np.uint8), 0.9)

    monkeypatch.setattr(station.line, "judge", judge)
    station.lockout.fail(ANYONE, station.settings.policy)
    with suppress(CameraError):
        assert station.verify("ada", frames(), 15.0) == Denial(Reason.NO_MATCH, 10)
    assert station.lockout.everyone() == {ANYONE: 1}


def test_hours_that_begin_meanwhile_let_nobody_in(station: Station, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = iter([False, True])
    monkeypatch.setattr(station, "is_quiet", lambda: next(asked))
    decision = station.verify("ada", Video(clip(ADA, 2)).frames(), 15.0)
    assert (decision.__class__, decision.reason) == (Denial, Reason.QUIET_HOURS)  # type: ignore[union-attr]


def test_a_subject_with_a_stricter_point_is_told_at_it(
    tmp_path: Path, model: ModelFile, settings: Settings, told: io.StringIO, clip: Clip
) -> None:
    stricter = settings.policy.model_copy(update={"target_fmr": 1e-2, "subject_fmr": {"ada": 1e-3}})
    how = settings.model_copy(update={"policy": stricter})
    station = Station(how, model, model.operating_point(1e-2), Gallery(tmp_path), Lockout(tmp_path), Journal(told))
    station.enrol("ada", Video(clip(ADA, 1)).frames(), lambda *_: None, Manner.NEW)
    assert isinstance(station.verify(None, Video(clip(ADA, 2)).frames(), 15.0), Grant)
    assert json.loads(told.getvalue().splitlines()[-1])["operating_point"] == "fmr-0.001"
    unproven = how.model_copy(update={"policy": stricter.model_copy(update={"subject_fmr": {"ada": 1e-9}})})
    with pytest.raises(ModelUnproven, match="no operating point measured for FMR 1e-09"):
        Station(unproven, model, station.point, Gallery(tmp_path), Lockout(tmp_path), Journal(told))


def test_a_subject_with_a_stricter_point_is_held_to_it(station: Station, clip: Clip) -> None:
    """No score reaches this one. At the device's point these frames are granted."""
    station._own_points = {"ada": replace(station.point, threshold=1.1)}
    for name in (None, "ada"):
        decision = station.verify(name, Video(clip(ADA, 2)).frames(), 15.0)
        assert (decision.__class__, decision.reason) == (Denial, Reason.NO_MATCH)  # type: ignore[union-attr]


def test_an_enrolment_that_was_ended_before_its_last_step_stores_nothing(station: Station, clip: Clip) -> None:
    def ended() -> AbstractContextManager[None]:
        raise EnrolmentStopped("the caller has left")

    with pytest.raises(EnrolmentStopped):
        station.enrol("bob", Video(clip(BOB, 1)).frames(), lambda *_: None, Manner.NEW, last_step=ended)
    assert station.gallery.names() == ["ada"]


@pytest.mark.parametrize("after", ["the end", "six seconds of nobody", "a broken camera", "Ctrl-C"])
def test_a_try_that_is_broken_off_before_its_last_frame_is_counted(
    station: Station, told: io.StringIO, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    """Nine of ten frames were judged, where three matches would have been enough for a grant; then no more come."""
    blank = np.zeros((2, 2, 3), np.uint8)

    def judge(frame: Frame, matcher: object, threshold: float, policy: Policy) -> Judged:
        outcome = Reason.NO_MATCH if frame.at < 1.0 else Reason.NO_FACE
        return Judged(outcome, policy.observe(outcome, frame.at), None, 1.0)

    def frames() -> Iterator[Frame | None]:
        yield from (Frame(blank, 0.1 * number) for number in range(9))
        if after == "six seconds of nobody":
            yield from (Frame(blank, 1.0 + 0.1 * number) for number in range(60))
        if after == "a broken camera":
            raise CameraError("the cable was pulled")
        if after == "Ctrl-C":
            raise KeyboardInterrupt

    monkeypatch.setattr(station.line, "judge", judge)
    for failures in (1, 2):
        told.truncate(0)
        if after in ("a broken camera", "Ctrl-C"):
            with pytest.raises(CameraError if after == "a broken camera" else KeyboardInterrupt):
                station.verify("ada", frames(), 15.0)
            denied = json.loads(told.getvalue().strip("\0"))
            assert (denied["latency_ms"], denied["cost_ms"]) == ("801", "1.0")
        else:
            assert station.verify("ada", frames(), 15.0) == Denial(Reason.NO_MATCH, 9)
        assert station.lockout.everyone() == {"ada": failures}
        assert told.getvalue().count('"event": "deny"') == 1


def test_a_try_that_is_broken_off_at_its_last_frame_is_counted(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C, after the tenth frame has completed the denial, and before anybody has heard of it."""

    def judge(frame: Frame, matcher: object, threshold: float, policy: Policy) -> Judged:
        return Judged(Reason.NO_MATCH, policy.observe(Reason.NO_MATCH, frame.at), None, 1.0)

    def interrupt(judged: Judged) -> None:
        if judged.decision is not None:
            raise KeyboardInterrupt

    monkeypatch.setattr(station.line, "judge", judge)
    frames = (Frame(np.zeros((2, 2, 3), np.uint8), 0.1 * number) for number in range(10))
    with pytest.raises(KeyboardInterrupt):
        station.verify("ada", frames, 15.0, interrupt)
    assert station.lockout.everyone() == {"ada": 1}


@pytest.mark.parametrize("manner", [Manner.ADD, Manner.REPLACE])
def test_who_was_removed_while_another_look_was_learned_stays_removed(station: Station, clip: Clip, manner: Manner) -> None:
    def frames() -> Iterator[Frame | None]:
        for number, frame in enumerate(Video(clip(ADA, 2)).frames()):
            if number == 3:
                remove_subject(station.gallery, station.lockout, station.journal, "ada", overwrite=True)
            yield frame

    with pytest.raises(InputError, match="ada: removed meanwhile; nothing was kept"):
        station.enrol("ada", frames(), lambda *_: None, manner)
    assert station.gallery.names() == []
    station.enrol("ada", Video(clip(ADA, 2)).frames(), lambda *_: None, Manner.REPLACE)  # there need not be anyone to replace


def test_two_looks_that_are_learned_at_once_do_not_take_each_others_place(
    station: Station, model: ModelFile, clip: Clip
) -> None:
    def frames() -> Iterator[Frame | None]:
        (ada,) = station.gallery.read_for(model.model_id, model.head.size)[0]
        more = np.concatenate([ada.templates, ada.templates[:1]])
        station.gallery.write(new_subject("ada", model.model_id, more), replace=True)
        yield from Video(clip(ADA, 2)).frames()

    with pytest.raises(InputError, match="ada: enrolled again meanwhile; nothing was added, begin again"):
        station.enrol("ada", frames(), lambda *_: None, Manner.ADD)


def test_a_face_that_is_enrolled_twice_gets_no_third_name(station: Station, model: ModelFile, clip: Clip) -> None:
    (ada,) = station.gallery.read_for(model.model_id, model.head.size)[0]
    station.gallery.write(new_subject("ada2", model.model_id, ada.templates), replace=False)
    with pytest.raises(FaceKnown, match="enrolled already, as two subjects at once"):
        station.enrol("ada3", Video(clip(ADA, 1)).frames(), lambda *_: None, Manner.NEW)


def test_a_face_that_is_taken_for_another_subject_is_known_however_strict_its_own_point(station: Station, clip: Clip) -> None:
    """At the device's point bob is taken for ada. Enrolled at his own, he would be like two subjects at once ever after."""
    station._own_points = {"bob": station.point}
    station.point = replace(station.point, threshold=0.0)
    with pytest.raises(FaceKnown, match="enrolled already, as ada"):
        station.enrol("bob", Video(clip(BOB, 1)).frames(), lambda *_: None, Manner.NEW)


def test_a_removal_is_told_though_its_count_cannot_be_cleared(station: Station, told: io.StringIO) -> None:
    (station.gallery.folder.parent / "lockout.json").write_text("{bad")
    with pytest.raises(StorageError, match=r"damaged.*; ada is removed, the failures counted are not: `edge unlock-out ada`"):
        remove_subject(station.gallery, station.lockout, station.journal, "ada")
    assert station.gallery.names() == []
    assert json.loads(told.getvalue().splitlines()[-1])["event"] == "removed"


def test_a_camera_that_breaks_is_told_though_nothing_can_be_counted(
    station: Station, told: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(frame: Frame, matcher: object, threshold: float, policy: Policy) -> Judged:
        return Judged(Reason.NO_MATCH, policy.observe(Reason.NO_MATCH, frame.at), None, 1.0)

    def frames() -> Iterator[Frame | None]:
        yield from (Frame(np.zeros((2, 2, 3), np.uint8), 0.1 * number) for number in range(9))
        raise CameraError("the cable was pulled")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(station.line, "judge", judge)
    told.truncate(0)
    with monkeypatch.context() as patched:
        patched.setattr("edge.store.os.replace", full)
        with pytest.raises(CameraError, match="the cable was pulled"):
            station.verify("ada", frames(), 15.0)
    assert [json.loads(line)["event"] for line in told.getvalue().strip("\0").splitlines()] == ["lock-out-broken", "deny"]
    station.lockout.settle(station.settings.policy)
    assert station.lockout.everyone() == {"ada": 1}


def test_who_was_locked_out_before_a_reboot_is_judged_again_after_it(
    station: Station, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        station.lockout.fail("ada", station.settings.policy)
    monkeypatch.setattr("edge.lockout._boot", lambda: "another boot")
    monkeypatch.setattr("edge.lockout.seconds_since_boot", lambda: 29.0)
    assert station.verify("ada", Video(clip(ADA, 2)).frames(), 15.0) == Denial(Reason.LOCKED_OUT, 0)
    monkeypatch.setattr("edge.lockout.seconds_since_boot", lambda: 31.0)
    assert isinstance(station.verify("ada", Video(clip(ADA, 2)).frames(), 15.0), Grant)


def test_quiet_hours_go_by_the_time_zone_that_is_set_now(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `timedatectl set-timezone` while the daemon runs. Set by the environment here: /etc/localtime is the whole machine's."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    begins = (datetime.now(UTC) + timedelta(hours=9)).strftime("%H:")
    hours(station, f"{begins}00-{begins}59")
    assert not station.is_quiet()
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert station.is_quiet() or datetime.now().minute == 59
    monkeypatch.undo()
    time.tzset()
