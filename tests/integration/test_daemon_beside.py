"""A door that watches while a caller is verified: both judge each frame, each keeps its own count and uses only its own intent."""

from __future__ import annotations

import io
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge.bus.seat import Result, Seat, Status
from edge.camera import Frame
from edge.camera.replay import Video
from edge.contract.modelfile import ModelFile
from edge.daemon import Daemon
from edge.gallery import Gallery
from edge.intent import WayIn
from edge.journal import Journal
from edge.line import Judged
from edge.liveness import Way
from edge.lockout import ANYONE, Lockout
from edge.policy import Policy
from edge.reasons import Reason
from edge.settings import Settings
from edge.station import Manner, Station
from tests.conftest import ADA, BOB, EVE

pytestmark = pytest.mark.usefixtures("signals")

CALLER = ":1.1"
Script = Callable[["Scene"], Iterator[Frame | None]]


@dataclass
class Scene:
    """A daemon whose camera plays a test's script of frames, and a caller who can ask between two of them."""

    station: Station
    told: io.StringIO
    clip: Callable[[int, int], Path]
    heard: list[Status] = field(default_factory=list)
    seen_by: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    """The times of the frames that each policy observed, by the policy's id()."""

    live, name = False, "scripted"

    def play(self, script: Script) -> None:
        self._script = script
        self.daemon = Daemon(self.station, opened=lambda _: self)
        self.seat = Seat(self.station, self.daemon.desk, self.daemon.door, lambda call: call())
        self.daemon.run()

    def frames(self) -> Iterator[Frame | None]:
        """See `Camera.frames`."""
        return self._script(self)

    def close(self) -> None:
        """See `Camera.close`."""

    def ask(self, subject: str, way: WayIn = WayIn.BUS) -> None:
        self.seat.claim(CALLER, subject)
        self.seat.verify(CALLER, self.heard.append, 600.0, way, anyone=not subject)

    def person(self, who: int, take: int = 2, after_s: float = 0.0) -> list[Frame]:
        frames = [
            Frame(frame.pixels, frame.at + after_s) for frame in Video(self.clip(who, take)).frames() if frame is not None
        ]
        return frames[2:]  # a clip begins with an empty frame and a dark one

    def events(self, *kinds: str) -> list[str]:
        return [event["event"] for event in map(json.loads, self.told.getvalue().splitlines()) if event["event"] in kinds]

    def ended(self) -> list[tuple[Result, str]]:
        return [(status.result, status.reason) for status in self.heard if status.done]


def station(state: Path, model: ModelFile, told: io.StringIO, **settings: object) -> Station:
    made = Settings.model_validate({"detection": {"min_face_px": 60}, **settings})
    point = model.operating_point(made.policy.target_fmr, allow_failed_gate=False)
    return Station(made, model, point, Gallery(state), Lockout(state), Journal(told))


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory, model: ModelFile, clip: Callable[[int, int], Path]) -> Path:
    """A state folder with ada and bob."""
    state = tmp_path_factory.mktemp("enrolled") / "state"
    device = station(state, model, io.StringIO())
    for name, who in (("ada", ADA), ("bob", BOB)):
        device.enrol(name, Video(clip(who, 1)).frames(), lambda *_: None, Manner.NEW)
    return state


@pytest.fixture
def scene(
    tmp_path: Path,
    enrolled: Path,
    model: ModelFile,
    clip: Callable[[int, int], Path],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Scene:
    """A test's indirect parameter adds settings to those for drawn people."""
    shutil.copytree(enrolled, tmp_path / "state")
    told = io.StringIO()
    device = station(tmp_path / "state", model, told, **getattr(request, "param", {}))
    made, real = Scene(device, told, clip), Policy.observe

    def observe(policy: Policy, outcome: Any, now: float, seen: Any = None) -> Any:
        made.seen_by[id(policy)].append(now)
        return real(policy, outcome, now, seen)

    monkeypatch.setattr(Policy, "observe", observe)
    return made


def test_a_door_opens_while_a_verification_of_somebody_else_goes_on(scene: Scene) -> None:
    """The door opens at ada's third frame, as always. The verification of bob, who is not there, ends with its tenth."""

    def script(scene: Scene) -> Iterator[Frame | None]:
        yield None
        scene.ask("bob")
        yield None
        frames = scene.person(ADA)
        yield from frames[:3]
        yield None
        assert (scene.events("accept", "deny"), scene.ended()) == (["accept"], [])
        yield from frames[3:10]
        yield None

    scene.play(script)
    assert scene.ended() == [(Result.NO_MATCH, Reason.WRONG_SUBJECT.value)]
    assert scene.station.lockout.everyone() == {"bob": 1}


def test_a_strangers_frames_are_a_failure_of_each_and_none_counts_twice_for_one(scene: Scene) -> None:
    def script(scene: Scene) -> Iterator[Frame | None]:
        scene.daemon.door.cost_listeners.append(costs.append)
        yield None
        scene.ask("ada")
        yield None
        yield from scene.person(EVE)[:12]

    costs: list[float] = []
    looked: list[Frame] = []
    real = scene.station.line.look

    def look(frame: Frame) -> Any:
        looked.append(frame)
        return real(frame)

    scene.station.line.look = look  # type: ignore[method-assign]
    scene.play(script)
    assert scene.ended() == [(Result.NO_MATCH, Reason.NO_MATCH.value)]
    assert scene.station.lockout.everyone() == {"ada": 1, ANYONE: 1}
    assert len(looked) == len({id(frame) for frame in looked}) == 12, "a face is looked for once a frame"
    assert len(costs) == 12, "and the frame is one in the figures"
    counts = sorted(len(times) for times in scene.seen_by.values())
    assert counts == [10, 12]
    assert all(len(set(times)) == len(times) for times in scene.seen_by.values())


def test_both_count_on_to_one_lock_out_where_both_ask_whether_it_is_anyone(scene: Scene) -> None:
    """The fifth failure is the verification's. The door counts under the same key, so it is locked out, too."""

    def script(scene: Scene) -> Iterator[Frame | None]:
        yield None
        for _ in range(4):
            scene.station.lockout.fail(ANYONE, scene.station.settings.policy)
        yield None
        scene.ask("")
        yield None
        yield from scene.person(EVE)[:10]
        yield None
        yield from scene.person(ADA, after_s=10.0)[:20]

    scene.play(script)
    assert scene.ended() == [(Result.NO_MATCH, Reason.NO_MATCH.value)]
    assert scene.station.lockout.everyone()[ANYONE] >= 5
    assert scene.events("accept") == []


def test_what_a_verification_matched_is_no_match_of_the_doors(scene: Scene) -> None:
    """The door does not judge the first k - 1 frames, because its failure count is broken, and judges the next one."""

    def script(scene: Scene) -> Iterator[Frame | None]:
        yield None
        scene.ask("ada")
        yield None
        door = scene.daemon.door
        door._lockout_broken = True
        door._lockout_checked_at = float("inf")
        frames = scene.person(ADA)
        yield from frames[:2]
        door._lockout_broken = False
        yield frames[2]
        yield None
        assert (scene.ended(), scene.events("accept")) == ([(Result.MATCH, "")], ["accept"])
        assert [len(times) for times in scene.seen_by.values()] == [3, 1]
        yield from frames[3:5]

    scene.play(script)
    assert scene.events("accept") == ["accept", "accept"], "the door's own third"


@pytest.mark.parametrize("scene", [{"intent": {"kind": "call"}}], indirect=True)
def test_a_verification_is_its_own_call_and_leaves_the_doors_alone(scene: Scene) -> None:
    def script(scene: Scene) -> Iterator[Frame | None]:
        yield None
        scene.ask("ada")
        yield None
        frames = scene.person(ADA)
        yield from frames[:6]
        assert (len(scene.ended()), scene.events("accept")) == (1, ["accept"]), "the door was not asked"
        scene.seat.release(CALLER)
        scene.daemon.door.intent.call()
        scene.ask("ada")
        yield None
        yield from scene.person(ADA, after_s=20.0)[:6]
        yield None

    scene.play(script)
    assert scene.ended() == [(Result.MATCH, "")] * 2
    assert scene.events("accept") == ["accept"] * 3, "of the second verification, and of the door that was asked"


@pytest.mark.parametrize("scene", [{"intent": {"kind": "button", "pin": "GPIO27"}}], indirect=True)
def test_one_press_serves_who_asked_and_not_the_door_as_well(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both wait for the press, and both would have their third match in the same frame."""
    monkeypatch.setattr("edge.gpio.watch_button", lambda *_: io.StringIO())

    def script(scene: Scene) -> Iterator[Frame | None]:
        yield None
        scene.ask("ada")
        yield None
        yield from scene.person(ADA)[:5]
        assert scene.seen_by == {}, "nobody pressed it"
        scene.daemon.door.intent.press()
        yield from scene.person(ADA, after_s=20.0)[:10]

    scene.play(script)
    assert (scene.ended(), scene.events("accept")) == ([(Result.MATCH, "")], ["accept"])


def test_who_holds_the_device_cannot_keep_anybody_from_being_removed(scene: Scene) -> None:
    def script(scene: Scene) -> Iterator[Frame | None]:
        yield None
        scene.ask("ada")
        yield None
        frames = scene.person(ADA)
        yield from frames[:2]
        scene.seat.remove("ada")
        yield from frames[2:6]
        yield None

    scene.play(script)
    assert scene.ended() == [(Result.NO_MATCH, Reason.GALLERY_CHANGED.value)]
    assert (scene.events("removed"), scene.station.gallery.names()) == (["removed"], ["bob"])


def test_an_enrolment_has_the_camera_alone(scene: Scene) -> None:
    """To the door, whoever is being enrolled is a stranger, but must not count as a failure."""

    def script(scene: Scene) -> Iterator[Frame | None]:
        yield None
        scene.seat.claim(CALLER, "eve")
        scene.seat.enrol(CALLER, scene.heard.append, Manner.NEW)
        yield None
        yield from scene.person(EVE)[:40]

    scene.play(script)
    assert scene.heard, "it saw them"
    assert list(scene.seen_by.values()) == []
    assert scene.station.lockout.everyone() == {}


def test_who_is_locked_out_and_asks_before_each_frame_takes_none_from_the_door(scene: Scene) -> None:
    """Such a verification ends without looking at a frame."""

    def script(scene: Scene) -> Iterator[Frame | None]:
        yield None
        for _ in range(5):
            scene.station.lockout.fail("bob", scene.station.settings.policy)
        scene.seat.claim(CALLER, "bob")
        for frame in scene.person(ADA)[:3]:
            scene.seat.verify(CALLER, scene.heard.append, 600.0, WayIn.BUS, anyone=False)
            yield frame
            scene.seat.stop(CALLER, verifying=True)

    scene.play(script)
    assert scene.ended() == [(Result.NO_MATCH, Reason.LOCKED_OUT.value)] * 3
    assert scene.events("accept") == ["accept"]


@pytest.mark.parametrize("doors", [True, False])
def test_one_alone_asks_for_a_turn_of_the_head(scene: Scene, monkeypatch: pytest.MonkeyPatch, doors: bool) -> None:
    """The other one judges no frame until the challenge is over. Here `judge` fakes a challenge from the tenth to the twentieth frame."""
    judged: dict[bool, list[float]] = {True: [], False: []}
    frames = scene.person(EVE)[:30]

    def judge(frame: Frame, matcher: Any, threshold: float, policy: Policy) -> Judged:
        by_door = policy is scene.daemon.door._policy
        judged[by_door].append(frame.at)
        asks = by_door is doors and frames[9].at <= frame.at < frames[20].at
        return Judged(Reason.NO_FACE, None, None, 0.0, Way.LEFT if asks else None)

    monkeypatch.setattr(scene.station.line, "judge", judge)

    def script(scene: Scene) -> Iterator[Frame | None]:
        yield None
        scene.ask("ada")
        yield None
        yield from frames

    scene.play(script)
    times = [frame.at for frame in frames]
    assert judged[doors] == times
    # The door judges after the verification: it stands aside in the very frame in which that one asks, and its own challenge stops
    # the verification one frame later.
    left_out = times[10:21] if doors else times[9:20]
    assert judged[not doors] == [at for at in times if at not in left_out]
