"""Runs the daemon through a script of faults: what it reports, that nobody is granted meanwhile, and how long until the next accept.

    python -m benchmarks.faults

The daemon is real, its camera does what the script says, and a drawn person stands in front of it all the time. Run as root, its state is
on a tmpfs of 256 KB that can be filled. Then `edge run` is ended by SIGTERM at random moments, with a stranger in front of the camera.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from edge.camera import Camera
from edge.camera.live import Live
from edge.camera.replay import Video
from edge.contract.errors import CameraBusy, CameraError, FacelatchError
from edge.contract.modelfile import ModelFile, read_model
from edge.daemon import Daemon
from edge.gallery import Gallery
from edge.journal import Event, Journal
from edge.lockout import ANYONE, Lockout
from edge.settings import CameraSettings, Settings
from edge.station import Manner, Station
from trainer.synth.clip import write_clip
from trainer.synth.person import Person

MODEL = Path(__file__).parents[1] / "tests" / "data" / "synthetic.tflite"
ADA, EVE = 9_000_001, 9_000_003
FPS = 30.0
# Frames taken before a fault may still be judged, and the daemon checks the disk only once a second.
GRACE_S = 1.5
LIMIT_S = 30.0
# Longer than a fault lasts, so that it is reported before the camera is opened again.
FROZEN_S = 5.0
DISK = "size=256k"
HOUR_S = 3600.0
# A clock that no fault changes.
clock = time.perf_counter

Pixels = NDArray[np.uint8]


class Stage:
    """What the camera sees and what its driver does; the script changes it from another thread."""

    def __init__(self, ada: list[Pixels], eve: list[Pixels]) -> None:
        self.ada, self.eve = ada, eve
        self.scene: list[Pixels] | Callable[[], Pixels | None] = ada
        self.open_error: CameraError | None = None
        self.mends = False
        """Whether opening the camera again ends the fault."""
        self.blocked = threading.Event()
        self.blocked.set()
        self._number = 0

    def open(self, settings: CameraSettings) -> Camera:
        """Replaces `edge.camera.open_camera`."""
        if self.open_error:
            raise self.open_error
        if self.mends:
            self.mends, self.scene = False, self.ada
        return Live("staged", self, settings)

    def grab(self) -> Pixels | None:
        """See `live.Driver`."""
        time.sleep(1 / FPS)
        self.blocked.wait()
        if callable(self.scene):
            return self.scene()
        self._number += 1
        return self.scene[self._number % len(self.scene)]

    def stamp(self) -> float | None:
        """See `live.Driver`."""
        return None

    def release(self) -> None:
        """See `live.Driver`."""


@dataclass(frozen=True)
class Fault:
    """A fault: its name, the `event` reported while it lasts (may be empty), and how it begins and ends. With `grants`, the person is still
    let in."""

    name: str
    event: str
    begin: Callable[[Bench], Callable[[], None]]
    grants: bool = False
    disk: bool = False
    """Whether it needs a disk of its own, which only root can mount."""


@dataclass(frozen=True)
class Outcome:
    """What was observed of a fault: seconds until it was reported, seconds from its end to the next accept, and the accepts during it after
    the grace period."""

    fault: str
    told: str
    told_after_s: float
    recovered_s: float
    accepts: int
    expected: bool


@dataclass
class Bench:
    """Everything that a fault can change."""

    stage: Stage
    station: Station
    state: Path
    model: Path
    events: list[tuple[float, str]] = field(default_factory=list)
    slept_s: float = 0.0

    def wait_for(self, event: str, since: float) -> float:
        """Seconds from `since` to the first such event after it. Raises TimeoutError after LIMIT_S."""
        while clock() - since < LIMIT_S:
            for event_at, name in list(self.events):
                if name == event and event_at >= since:
                    return event_at - since
            time.sleep(0.02)
        raise TimeoutError(f"{event} was not told within {LIMIT_S:g} s")

    def count(self, event: str, begin: float, end: float) -> int:
        """The number of such events between two times."""
        return sum(name == event and begin <= event_at <= end for event_at, name in list(self.events))


def _failing_to_open(error: CameraError) -> Callable[[Bench], Callable[[], None]]:
    def begin(bench: Bench) -> Callable[[], None]:
        bench.stage.open_error, bench.stage.scene = error, lambda: None

        def end() -> None:
            bench.stage.open_error, bench.stage.scene = None, bench.stage.ada

        return end

    return begin


def _showing(pixels: Callable[[Bench], list[Pixels] | Callable[[], Pixels | None]]) -> Callable[[Bench], Callable[[], None]]:
    def begin(bench: Bench) -> Callable[[], None]:
        bench.stage.scene = pixels(bench)
        return lambda: setattr(bench.stage, "scene", bench.stage.ada)

    return begin


def _until_opened_again(bench: Bench) -> Callable[[], None]:
    bench.stage.mends, bench.stage.scene = True, bench.stage.ada[:1]
    return lambda: None


def _stall(bench: Bench) -> Callable[[], None]:
    bench.stage.blocked.clear()
    return bench.stage.blocked.set


def _full_disk(bench: Bench) -> Callable[[], None]:
    filler = bench.state / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return filler.unlink


def _folder_in_the_way(bench: Bench) -> Callable[[], None]:
    # Even root cannot write a file where a folder is.
    blocker = bench.state / ".lockout.json.new"
    blocker.mkdir()
    return blocker.rmdir


def _damaged_gallery(bench: Bench) -> Callable[[], None]:
    path = bench.state / "gallery" / "ada.faces"
    original = path.read_bytes()
    path.write_bytes(original[:100] + b"\0" + original[101:])
    return lambda: _put_back(path, original)


def _removed_subject(bench: Bench) -> Callable[[], None]:
    path = bench.state / "gallery" / "ada.faces"
    original = path.read_bytes()
    path.unlink()
    return lambda: _put_back(path, original)


def _put_back(path: Path, data: bytes) -> None:
    path.with_suffix(".kept").write_bytes(data)
    path.with_suffix(".kept").replace(path)


def _hang_up(bench: Bench) -> Callable[[], None]:
    os.kill(os.getpid(), signal.SIGHUP)
    return lambda: None


def _wall_clock(jump: timedelta) -> Callable[[Bench], Callable[[], None]]:
    """Changes the wall clock, which people and time servers set, and from which quiet hours are read."""

    class ShiftedDatetime(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now() + jump

    def begin(bench: Bench) -> Callable[[], None]:
        patch = mock.patch("edge.station.datetime", ShiftedDatetime)
        patch.start()
        return patch.stop

    return begin


def _sleep(bench: Bench) -> Callable[[], None]:
    # A sleep cannot be undone.
    bench.slept_s += HOUR_S
    return lambda: None


def _boot_clock_back(bench: Bench) -> Callable[[], None]:
    """Sets back the clock by which frames, windows and rests are measured. No correct kernel does that."""
    bench.slept_s -= HOUR_S
    return lambda: setattr(bench, "slept_s", bench.slept_s + HOUR_S)


@contextmanager
def _clock_since_boot(bench: Bench) -> Iterator[None]:
    real = time.clock_gettime
    with mock.patch("time.clock_gettime", lambda which: real(which) + bench.slept_s * (which == time.CLOCK_BOOTTIME)):
        yield


def _replaced_model(bench: Bench) -> Callable[[], None]:
    """Puts a broken file in the place of the model, as an upgrade would: the model verified at the start must keep judging."""
    original = bench.model.read_bytes()
    _put_back(bench.model, original[: len(original) // 2] + b"\0" * (len(original) // 2))
    return lambda: _put_back(bench.model, original)


def _overwritten_model(bench: Bench) -> Callable[[], None]:
    """Truncates and overwrites the same file."""
    original = bench.model.read_bytes()
    bench.model.write_bytes(b"no model")
    return lambda: _put_back(bench.model, original)


def _no_journal(bench: Bench) -> Callable[[], None]:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no journal")

    patch = mock.patch.object(bench.station.journal, "_send", refuse)
    patch.start()
    return patch.stop


_random = np.random.default_rng(5)

FAULTS = (
    Fault("unplugged, 15 failed reads, then no device", "camera-lost", _failing_to_open(CameraError("staged: no such device"))),
    Fault("held by another program", "camera-busy", _failing_to_open(CameraBusy("staged: in use"))),
    Fault("driver silent", "camera-stalled", _stall),
    Fault("lens covered", "camera-dark", _showing(lambda bench: [np.zeros_like(frame) for frame in bench.stage.ada[:3]])),
    Fault("garbage frames", "", _showing(lambda bench: lambda: _random.integers(0, 256, bench.stage.ada[0].shape, np.uint8))),
    Fault("rows instead of pictures", "camera-lost", _showing(lambda bench: lambda: np.zeros((1, 921600), np.uint8))),
    Fault("a stranger", "deny", _showing(lambda bench: bench.stage.eve)),
    Fault("one picture that stands still", "camera-stalled", _showing(lambda bench: bench.stage.ada[:1])),
    Fault("one picture, until the camera is opened again", "camera-lost", _until_opened_again, grants=True),
    Fault("disk full", "lock-out-broken", _full_disk, disk=True),
    Fault("count of failures cannot be written", "lock-out-broken", _folder_in_the_way),
    Fault("template damaged", "gallery-refused", _damaged_gallery),
    Fault("subject removed", "gallery-loaded", _removed_subject),
    Fault("SIGHUP", "gallery-loaded", _hang_up, grants=True),
    Fault("clock set back ten years", "quiet-began", _wall_clock(timedelta(days=-3650))),
    Fault("clock set forward into quiet hours", "quiet-began", _wall_clock(timedelta(hours=12))),
    Fault("an hour's sleep", "", _sleep, grants=True),
    Fault("clock since boot an hour back", "", _boot_clock_back),
    Fault("model replaced by a damaged one", "", _replaced_model, grants=True),
    Fault("model cut off and written over", "", _overwritten_model, grants=True),
    Fault("journal gone", "", _no_journal, grants=True),
)


def run(
    faults: tuple[Fault, ...] | None = None,
    hold_s: float = 4.0,
    grace_s: float = GRACE_S,
    clips: tuple[Path, Path] | None = None,
) -> list[Outcome]:
    """Runs the daemon in this thread through `faults`, by default all that are possible on this machine, and returns the outcomes. A fault
    that must not grant lasts at least `hold_s` seconds. `clips` is as for `with_ada`.
    """
    faults = tuple(fault for fault in FAULTS if can_mount() or not fault.disk) if faults is None else faults
    with tempfile.TemporaryDirectory() as folder, _disk(Path(folder) / "state", any(fault.disk for fault in faults)):
        bench = _bench(Path(folder), clips)
        daemon = Daemon(bench.station, opened=bench.stage.open)
        outcomes: list[Outcome] = []
        broken: list[BaseException] = []

        def script() -> None:
            try:
                bench.wait_for("accept", clock())
                for fault in faults:
                    outcomes.append(_try(bench, fault, hold_s, grace_s))
                os.kill(os.getpid(), signal.SIGTERM)
            except BaseException as error:  # noqa: BLE001 - told in the thread that waits
                broken.append(error)
                daemon.stop()

        with _signals(), _clock_since_boot(bench):
            thread = threading.Thread(target=script)
            thread.start()
            daemon.run()
            thread.join()
        if broken:
            raise broken[0]
        return outcomes


def can_mount() -> bool:
    """Whether this user can mount a disk small enough to be filled."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with _disk(Path(folder) / "disk", True):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


@contextmanager
def _disk(path: Path, mounted: bool) -> Iterator[None]:
    path.mkdir()
    if not mounted:
        yield
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", DISK, "facelatch", path], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def _try(bench: Bench, fault: Fault, hold_s: float, grace_s: float) -> Outcome:
    began = clock()
    end = fault.begin(bench)
    try:
        told_s = bench.wait_for(fault.event, began) if fault.event else 0.0
        if fault.grants:
            bench.wait_for("accept", began + grace_s)
        time.sleep(max(0.0, hold_s * (not fault.grants) - (clock() - began)))
        ended = clock()
    finally:
        end()
    recovered_s = bench.wait_for("accept", ended)
    accepts = bench.count("accept", began + grace_s, ended)
    return Outcome(fault.name, fault.event, told_s, recovered_s, accepts, (accepts > 0) == fault.grants)


def _bench(folder: Path, clips: tuple[Path, Path] | None) -> Bench:
    # One quiet hour, as far from now as possible.
    far = datetime.now() + timedelta(hours=12)
    quiet = f"{far - timedelta(minutes=30):%H:%M}-{far + timedelta(minutes=30):%H:%M}"
    settings = Settings.model_validate(
        {
            "detection": {"min_face_px": 60},
            "camera": {"stall_s": 8.0, "frozen_s": FROZEN_S},
            "policy": {"rearm_s": 0.2, "lockout_failures": 99, "disable_failures": 100, "quiet_hours": [quiet]},
        }
    )
    file = folder / "model.tflite"
    shutil.copy(MODEL, file)
    station, ada, eve = with_ada(folder, settings, read_model(file), clips)
    bench = Bench(Stage(ada, eve), station, folder / "state", file)

    def record_event(event: Event, fields: dict[str, object]) -> None:
        bench.events.append((clock(), event.label))

    station.journal.listeners.append(record_event)
    return bench


@dataclass(frozen=True)
class Ended:
    """How a daemon ended: after how long, its exit code, the denials it reported (`told`) and `counted`, and what is wrong with what it
    `left`."""

    after_s: float
    code: int
    told: int
    counted: int
    left: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether it exited with 0, counted every denial and left nothing half-written."""
        return self.code == 0 and self.told == self.counted and not self.left


def end_at_random(folder: Path, seed: int, longest_s: float = 3.0, clips: tuple[Path, Path] | None = None) -> Ended:
    """Runs `edge run` with a drawn stranger, who is denied again and again, and sends SIGTERM at a random moment."""
    state = folder / "state"
    settings = {"detection": {"min_face_px": 60}, "policy": {"lockout_failures": 99, "disable_failures": 100, "frames": 3}}
    clips = clips or _drawn(folder)
    with_ada(folder, Settings.model_validate(settings), read_model(MODEL), clips)
    config = folder / "edge.toml"
    config.write_text(
        f'[camera]\nsource = "{clips[1]}"\nreplay = "loop"\n[model]\npath = "{MODEL}"\n[service]\nbus = false\n'
        "[detection]\nmin_face_px = 60\n[policy]\nframes = 3\nlockout_failures = 99\ndisable_failures = 100\n"
    )
    command = [sys.executable, "-m", "edge", "run", "--json", "--config", str(config)]
    after_s = random.Random(seed).uniform(0.0, longest_s)  # noqa: S311 - a moment, no secret
    environment = os.environ | {"STATE_DIRECTORY": str(state)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as daemon:
        if daemon.stdout is None:
            raise OSError("no output to read")
        lines = [daemon.stdout.readline()]
        time.sleep(after_s)
        daemon.send_signal(signal.SIGTERM)
        lines += daemon.stdout.readlines()
        code = daemon.wait(LIMIT_S)
    events = [json.loads(line)["event"] for line in lines]
    left = [str(path.relative_to(state)) for path in state.rglob(".*.new")]
    left += [] if events[-1] == "stopped" else [f"last event {events[-1]}"]
    counted = -1
    try:
        Gallery(state).read("ada")
        counted = Lockout(state).everyone().get(ANYONE, 0)
    except FacelatchError as error:
        left.append(str(error))
    return Ended(after_s, code, events.count("deny"), counted, tuple(left))


def with_ada(
    folder: Path, settings: Settings, model: ModelFile, clips: tuple[Path, Path] | None = None
) -> tuple[Station, list[Pixels], list[Pixels]]:
    """(station, frames of an enrolled person, frames of a stranger), with its state below `folder`. The people are drawn, or taken from
    two `clips`."""
    clips = clips or _drawn(folder)
    state = folder / "state"
    point = model.operating_point(settings.policy.target_fmr, allow_failed_gate=False)
    station = Station(settings, model, point, Gallery(state), Lockout(state), Journal(StringIO()))
    station.enrol("ada", Video(clips[0]).frames(), lambda *_: None, Manner.NEW)
    ada, eve = ([frame.pixels for frame in Video(clip).frames() if frame] for clip in clips)
    return station, ada, eve


def _drawn(folder: Path) -> tuple[Path, Path]:
    ada, eve = folder / f"{ADA}.avi", folder / f"{EVE}.avi"
    for path, person in ((ada, ADA), (eve, EVE)):
        write_clip(path, Person.from_seed(person), 1, 6.0, width=320, height=240)
    return ada, eve


@contextmanager
def _signals() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def main() -> None:
    """Prints the table, or with --json the outcomes. Exit code 1: someone was wrongly granted or wrongly not granted, or an end was not
    clean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--hold", type=float, default=4.0, help="seconds that each fault lasts that must not grant")
    parser.add_argument("--ends", type=int, default=10, help="so many times it is ended at a random moment")
    arguments = parser.parse_args()
    outcomes = run(hold_s=arguments.hold)
    ends = []
    for seed in range(arguments.ends):
        with tempfile.TemporaryDirectory() as folder:
            ends.append(end_at_random(Path(folder), seed))
    if arguments.json:
        print(json.dumps({"faults": [outcome.__dict__ for outcome in outcomes], "ends": [end.__dict__ for end in ends]}))
    else:
        print("| fault | told | after | accepts in it | next accept after its end |\n|---|---|---|---|---|")
        for outcome in outcomes:
            event = f"`{outcome.told}`" if outcome.told else "nothing"
            print(
                f"| {outcome.fault} | {event} | {outcome.told_after_s:.1f} s | {outcome.accepts} | {outcome.recovered_s:.1f} s |"
            )
        for fault in FAULTS:
            if fault.name not in {outcome.fault for outcome in outcomes}:
                print(f"| {fault.name} | skipped: only root can mount a disk of its own | | | |")
        good = sum(end.good for end in ends)
        denials = sum(end.counted for end in ends)
        print(
            f"SIGTERM at {len(ends)} random moments: {good} ended with 0 and left nothing half, {denials} denials told and counted"
        )
        for end in ends:
            if not end.good:
                print(end)
    raise SystemExit(not all([*(outcome.expected for outcome in outcomes), *(end.good for end in ends)]))


if __name__ == "__main__":
    main()
