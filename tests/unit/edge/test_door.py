"""A door and the challenge to turn the head: whoever can no longer meet it is denied at once, not when the next person comes."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path

import numpy as np
import pytest

import edge.gallery
from edge.action import Actor
from edge.camera import Frame
from edge.contract.chip import FaceBox
from edge.contract.modelfile import ModelFile
from edge.door import Door
from edge.gallery import Gallery, new_subject
from edge.journal import Journal
from edge.keys import Keys, write_new_key
from edge.line import Judged
from edge.liveness import Seen
from edge.lockout import ANYONE, Lockout
from edge.matcher import Match, Matcher
from edge.policy import Grant, Policy
from edge.reasons import Reason
from edge.settings import Settings
from edge.station import Station


def _station(settings: Settings, model: ModelFile, folder: Path, told: io.StringIO) -> Station:
    """A station whose state is kept in `folder` and whose journal is written to `told`."""
    point = model.operating_point(settings.policy.target_fmr, allow_failed_gate=False)
    return Station(settings, model, point, Gallery(folder), Lockout(folder), Journal(told))


@pytest.mark.parametrize("ends", ["the time of the call", "quiet hours", "a lock-out by failures beside it"])
def test_who_was_asked_is_denied_when_faces_are_judged_no_more(
    tmp_path: Path, model: ModelFile, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    intent = {"kind": "call"} if ends == "the time of the call" else {}
    settings = Settings.model_validate({"liveness": {"challenge": "head-turn"}, "intent": intent})
    told, now = io.StringIO(), 100.0
    station = _station(settings, model, tmp_path, told)

    def judge(frame: Frame, matcher: Matcher, threshold: float, policy: Policy) -> Judged:
        ada = Match("ada", 0.9)
        return Judged(ada, policy.observe(ada, frame.at, Seen(FaceBox(10, 10, 50, 50), 0.0)), None, 1.0, policy.asked)

    monkeypatch.setattr(station.line, "judge", judge)
    monkeypatch.setattr("edge.door.seconds_since_boot", lambda: now)
    door = Door(station)
    door.intent._clock = lambda: now
    door.look()
    door.intent.call()

    def stand(seconds: int) -> None:
        nonlocal now
        for _ in range(10 * seconds):
            now += 0.1
            door.judge(Frame(np.zeros((2, 2, 3), np.uint8), now))

    now += settings.intent.window_s - 2  # the person comes late
    stand(1)
    assert door.asks
    monkeypatch.setattr(door, "_quiet", ends == "quiet hours")
    beside = settings.policy.lockout_failures if ends == "a lock-out by failures beside it" else 0
    for _ in range(beside):
        station.lockout.fail(ANYONE, settings.policy)
    door.look()
    stand(30)
    decided = [event for line in told.getvalue().splitlines() if (event := json.loads(line))["event"] == "deny"]
    assert [(event["reason"], event["cost_ms"]) for event in decided] == [("challenge-failed", "1.0")]
    assert (door.asks, door.failures) == (False, beside + 1)
    assert station.lockout.everyone() == {ANYONE: beside + 1}


def test_hours_that_began_while_the_machine_slept_are_quiet_from_the_first_frame(
    tmp_path: Path, model: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three frames take only a tenth of a second, and CLOCK_MONOTONIC does not count the sleep."""
    settings = Settings.model_validate({"policy": {"quiet_hours": ["22:00-06:00"]}})
    told, now, quiet = io.StringIO(), 100.0, False
    station = _station(settings, model, tmp_path, told)
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    monkeypatch.setattr("edge.door.seconds_since_boot", lambda: now)
    monkeypatch.setattr(station, "is_quiet", lambda: quiet)
    monkeypatch.setattr(station.line, "judge", lambda *_: pytest.fail("a frame was judged"))
    door = Door(station)
    door.look()
    now, quiet = now + 8 * 3600, True
    door.look()
    door.judge(Frame(np.zeros((2, 2, 3), np.uint8), now))
    assert "quiet-began" in told.getvalue()


def test_a_file_that_the_disk_did_not_give_is_told_once_and_read_again(
    tmp_path: Path, model: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing changes its dates when the disk is well again."""
    told, now, real = io.StringIO(), 100.0, edge.gallery.read_file
    settings = Settings()
    station = _station(settings, model, tmp_path, told)
    for name in ("ada", "bob"):
        templates = np.ones((1, model.head.size), np.float32)
        station.gallery.write(new_subject(name, model.model_id, templates), replace=False)

    def broken(path: Path, most: int) -> bytes:
        if path.name == "bob.faces":
            raise OSError(5, "Input/output error")
        return real(path, most)

    monkeypatch.setattr("edge.door.seconds_since_boot", lambda: now)
    monkeypatch.setattr("edge.gallery.read_file", broken)
    door, enrolled = Door(station), []
    for seconds in range(200):
        now += 1.0
        if seconds == 100:
            monkeypatch.setattr("edge.gallery.read_file", real)
        door.look()
        enrolled.append(door.enrolled)
    assert enrolled == sorted(enrolled)
    assert (enrolled[100], enrolled[-1]) == (1, 2)
    events = [json.loads(line)["event"] for line in told.getvalue().splitlines()]
    assert events == ["gallery-refused", "gallery-loaded", "gallery-loaded"]


def test_a_key_that_comes_back_opens_the_gallery_again(
    tmp_path: Path, model: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stick may be out until the gallery is read again, as after a removal. Nothing in the gallery changes when the stick is back."""
    told, now, key = io.StringIO(), 100.0, tmp_path / "key"
    settings = Settings.model_validate({"gallery": {"encrypt": "file", "key_file": str(key)}})
    write_new_key(key, tmp_path)
    point = model.operating_point(settings.policy.target_fmr, allow_failed_gate=False)
    gallery = Gallery(tmp_path, Keys(settings.gallery, tmp_path))
    station = Station(settings, model, point, gallery, Lockout(tmp_path), Journal(told))
    for name in ("ada", "bob"):
        gallery.write(new_subject(name, model.model_id, np.ones((1, model.head.size), np.float32)), replace=False)
    monkeypatch.setattr("edge.door.seconds_since_boot", lambda: now)
    door, enrolled = Door(station), []
    for seconds in range(200):
        now += 1.0
        if seconds == 50:
            key.rename(tmp_path / "pulled out")
        if seconds == 60:
            gallery.remove("bob")
        if seconds == 150:
            (tmp_path / "pulled out").rename(key)
        door.look()
        enrolled.append(door.enrolled)
    assert [enrolled[59], enrolled[60], enrolled[149], enrolled[-1]] == [2, 0, 0, 1]
    events = [json.loads(line)["event"] for line in told.getvalue().splitlines()]
    assert events == ["gallery-loaded", "gallery-refused", "gallery-loaded", "gallery-loaded"]


def test_a_gallery_that_cannot_be_read_for_a_while_recognises_nobody_meanwhile(
    tmp_path: Path, model: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Afterwards its stamp is the one from before."""
    told, now, settings = io.StringIO(), 100.0, Settings()
    station = _station(settings, model, tmp_path, told)
    ada = np.ones((1, model.head.size), np.float32)
    station.gallery.write(new_subject("ada", model.model_id, ada), replace=False)
    matched: list[object] = []

    def judge(frame: Frame, matcher: Matcher, threshold: float, policy: Policy) -> Judged:
        matched.append(matcher.match(ada[0], threshold))
        return Judged(Reason.NO_FACE, None, None, 1.0)

    def broken(folder: Path) -> list[str]:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(station.line, "judge", judge)
    monkeypatch.setattr("edge.door.seconds_since_boot", lambda: now)
    door = Door(station)

    def look() -> None:
        nonlocal now
        now += 1.0
        door.look()
        door.judge(Frame(np.zeros((2, 2, 3), np.uint8), now))

    look()
    with monkeypatch.context() as patched:
        patched.setattr("edge.gallery.os.listdir", broken)
        look()
        look()
    look()
    assert [getattr(match, "subject", match) for match in matched] == ["ada", *2 * [Reason.EMPTY_GALLERY], "ada"]
    events = [json.loads(line)["event"] for line in told.getvalue().splitlines()]
    assert events == ["gallery-loaded", "gallery-refused", "gallery-loaded"]


def test_a_door_that_closes_ends_the_action_and_releases_the_button(tmp_path: Path, model: ModelFile) -> None:
    settings, closed = Settings(), list[str]()
    point = model.operating_point(settings.policy.target_fmr, allow_failed_gate=False)
    door = Door(Station(settings, model, point, Gallery(tmp_path), Lockout(tmp_path), Journal(io.StringIO())))

    class Button:
        def close(self) -> None:
            closed.append("button")

    def until_stopped(grant: Grant, stopping: threading.Event) -> None:
        stopping.wait(60)
        closed.append("action")

    door.intent._button = Button()
    door._actor = Actor(until_stopped, lambda grant, error: None)
    door._actor.begin(Grant("ada", 0.9, 3))
    door.close()
    assert closed == ["action", "button"]


def test_a_grant_that_cannot_be_counted_is_none_and_is_told_once(
    tmp_path: Path, model: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full; then it is not, and the next frames are judged again."""
    told, now, settings = io.StringIO(), 100.0, Settings()
    station = _station(settings, model, tmp_path, told)

    def judge(frame: Frame, matcher: Matcher, threshold: float, policy: Policy) -> Judged:
        ada = Match("ada", 0.9)
        return Judged(ada, policy.observe(ada, frame.at), None, 1.0)

    monkeypatch.setattr(station.line, "judge", judge)
    monkeypatch.setattr("edge.door.seconds_since_boot", lambda: now)
    door, blocker = Door(station), tmp_path / ".lockout.json.new"
    blocker.mkdir()  # not even root can write the count then
    for number in range(400):
        now += 0.1
        if number == 200:
            blocker.rmdir()
        door.look()
        door.judge(Frame(np.zeros((2, 2, 3), np.uint8), now))
        assert number >= 200 or "accept" not in told.getvalue()
    events = [json.loads(line)["event"] for line in told.getvalue().splitlines()]
    assert events[:2] == ["gallery-loaded", "lock-out-broken"]
    assert set(events[2:]) == {"accept"}
