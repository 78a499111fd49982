"""The daemon under a script of faults: what it tells, that nobody is granted meanwhile, and how long until the next accept.

    python -m benchmarks.faults

The daemon is the real one, on a camera that does what the script says: a drawn person stands before it all the time.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from edge.camera import Camera
from edge.camera.live import Live
from edge.camera.replay import Video
from edge.contract.errors import CameraBusy, CameraError
from edge.contract.modelfile import ModelFile, read_model
from edge.daemon import Daemon
from edge.gallery import Gallery
from edge.journal import Event, Journal
from edge.lockout import Lockout
from edge.settings import CameraSettings, Settings
from edge.station import Manner, Station
from trainer.synth.clip import write_clip
from trainer.synth.person import Person

MODEL = Path(__file__).parents[1] / "tests" / "data" / "synthetic.tflite"
ADA, EVE = 9_000_001, 9_000_003
FPS = 30.0
# Frames that were taken before a fault may still be judged; what is on disk is looked at once a second.
GRACE_S = 1.5
LIMIT_S = 30.0

Pixels = NDArray[np.uint8]


class Stage:
    """What stands before the camera and what the driver does; the script changes it from another thread."""

    def __init__(self, ada: list[Pixels], eve: list[Pixels]) -> None:
        self.ada, self.eve = ada, eve
        self.shown: list[Pixels] | Callable[[], Pixels | None] = ada
        self.opening: CameraError | None = None
        self.blocked = threading.Event()
        self.blocked.set()
        self._number = 0

    def open(self, settings: CameraSettings) -> Camera:
        """Stands where `edge.camera.open_camera` does."""
        if self.opening:
            raise self.opening
        return Live("staged", self, settings)

    def grab(self) -> Pixels | None:
        """See `live.Driver`."""
        time.sleep(1 / FPS)
        self.blocked.wait()
        if callable(self.shown):
            return self.shown()
        self._number += 1
        return self.shown[self._number % len(self.shown)]

    def release(self) -> None:
        """See `live.Driver`."""


@dataclass(frozen=True)
class Fault:
    """A name, what is to be told while it lasts, and how it begins and ends. `grants`: the person is let in all the same."""

    name: str
    told: str
    begun: Callable[[Bench], Callable[[], None]]
    grants: bool = False


@dataclass(frozen=True)
class Outcome:
    """What was seen of a fault: seconds from its end to the next accept, and the accepts in it after the grace."""

    fault: str
    told: str
    told_after_s: float
    recovered_s: float
    accepts: int
    expected: bool


@dataclass
class Bench:
    """All that a fault can get at."""

    stage: Stage
    station: Station
    state: Path
    heard: list[tuple[float, str]] = field(default_factory=list)

    def wait_for(self, event: str, since: float) -> float:
        """Seconds from `since` to the first such event after it."""
        while time.monotonic() - since < LIMIT_S:
            for at, name in list(self.heard):
                if name == event and at >= since:
                    return at - since
            time.sleep(0.02)
        raise TimeoutError(f"{event} was not told within {LIMIT_S:g} s")

    def count(self, event: str, begin: float, end: float) -> int:
        """How many such events there were between two times."""
        return sum(name == event and begin <= at <= end for at, name in list(self.heard))


def _opening(error: CameraError) -> Callable[[Bench], Callable[[], None]]:
    def begin(bench: Bench) -> Callable[[], None]:
        bench.stage.opening, bench.stage.shown = error, lambda: None

        def end() -> None:
            bench.stage.opening, bench.stage.shown = None, bench.stage.ada

        return end

    return begin


def _showing(pixels: Callable[[Bench], list[Pixels] | Callable[[], Pixels | None]]) -> Callable[[Bench], Callable[[], None]]:
    def begin(bench: Bench) -> Callable[[], None]:
        bench.stage.shown = pixels(bench)
        return lambda: setattr(bench.stage, "shown", bench.stage.ada)

    return begin


def _stall(bench: Bench) -> Callable[[], None]:
    bench.stage.blocked.clear()
    return bench.stage.blocked.set


def _full_disk(bench: Bench) -> Callable[[], None]:
    # Also root cannot write a file where a folder is.
    blocker = bench.state / ".lockout.json.new"
    blocker.mkdir()
    return blocker.rmdir


def _damaged_gallery(bench: Bench) -> Callable[[], None]:
    path = bench.state / "gallery" / "ada.faces"
    kept = path.read_bytes()
    path.write_bytes(kept[:100] + b"\0" + kept[101:])
    return lambda: _put_back(path, kept)


def _removed_subject(bench: Bench) -> Callable[[], None]:
    path = bench.state / "gallery" / "ada.faces"
    kept = path.read_bytes()
    path.unlink()
    return lambda: _put_back(path, kept)


def _put_back(path: Path, data: bytes) -> None:
    path.with_suffix(".kept").write_bytes(data)
    path.with_suffix(".kept").replace(path)


def _hang_up(bench: Bench) -> Callable[[], None]:
    os.kill(os.getpid(), signal.SIGHUP)
    return lambda: None


def _clock(jump_s: float) -> Callable[[Bench], Callable[[], None]]:
    def begin(bench: Bench) -> Callable[[], None]:
        real = time.time
        patch = mock.patch("time.time", side_effect=lambda: real() + jump_s)
        patch.start()
        return patch.stop

    return begin


def _no_journal(bench: Bench) -> Callable[[], None]:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no journal")

    patch = mock.patch.object(bench.station.journal, "_send", refuse)
    patch.start()
    return patch.stop


_random = np.random.default_rng(5)

FAULTS = (
    Fault("unplugged, 15 failed reads, then no device", "camera-lost", _opening(CameraError("staged: no such device"))),
    Fault("held by another program", "camera-busy", _opening(CameraBusy("staged: in use"))),
    Fault("driver silent", "camera-stalled", _stall),
    Fault("lens covered", "camera-dark", _showing(lambda bench: [np.zeros_like(frame) for frame in bench.stage.ada[:3]])),
    Fault("garbage frames", "", _showing(lambda bench: lambda: _random.integers(0, 256, bench.stage.ada[0].shape, np.uint8))),
    Fault("rows instead of pictures", "camera-lost", _showing(lambda bench: lambda: np.zeros((1, 921600), np.uint8))),
    Fault("a stranger", "deny", _showing(lambda bench: bench.stage.eve)),
    Fault("disk full", "lock-out-broken", _full_disk),
    Fault("template damaged", "gallery-refused", _damaged_gallery),
    Fault("subject removed", "gallery-loaded", _removed_subject),
    Fault("SIGHUP", "gallery-loaded", _hang_up, grants=True),
    Fault("clock set back ten years", "", _clock(-10 * 365 * 86400.0), grants=True),
    Fault("journal gone", "", _no_journal, grants=True),
)


def run(faults: tuple[Fault, ...] = FAULTS, hold_s: float = 4.0, model: ModelFile | None = None) -> list[Outcome]:
    """Runs the daemon in this thread through all faults, each for `hold_s` seconds at least, and returns what was seen."""
    with tempfile.TemporaryDirectory() as folder:
        bench = _bench(Path(folder), model or read_model(MODEL))
        daemon = Daemon(bench.station, opened=bench.stage.open)
        outcomes: list[Outcome] = []
        broken: list[BaseException] = []

        def script() -> None:
            try:
                bench.wait_for("accept", time.monotonic())
                for fault in faults:
                    outcomes.append(_try(bench, fault, hold_s))
                os.kill(os.getpid(), signal.SIGTERM)
            except BaseException as error:  # noqa: BLE001 - told in the thread that waits
                broken.append(error)
                daemon.stop()

        with _signals():
            thread = threading.Thread(target=script)
            thread.start()
            daemon.run()
            thread.join()
        if broken:
            raise broken[0]
        return outcomes


def _try(bench: Bench, fault: Fault, hold_s: float) -> Outcome:
    began = time.monotonic()
    end = fault.begun(bench)
    try:
        told_s = bench.wait_for(fault.told, began) if fault.told else 0.0
        time.sleep(max(0.0, hold_s - (time.monotonic() - began)))
        ended = time.monotonic()
    finally:
        end()
    recovered_s = bench.wait_for("accept", ended)
    accepts = bench.count("accept", began + GRACE_S, ended)
    return Outcome(fault.name, fault.told, told_s, recovered_s, accepts, (accepts > 0) == fault.grants)


def _bench(folder: Path, model: ModelFile) -> Bench:
    settings = Settings.model_validate(
        {
            "detection": {"min_face_px": 60},
            "camera": {"stall_s": 8.0},
            "policy": {"rearm_s": 0.2, "lockout_failures": 99, "disable_failures": 100},
        }
    )
    station, ada, eve = with_ada(folder, settings, model)
    bench = Bench(Stage(ada, eve), station, folder / "state")

    def heard(event: Event, fields: dict[str, object]) -> None:
        bench.heard.append((time.monotonic(), event.label))

    station.journal.listeners.append(heard)
    return bench


def with_ada(folder: Path, settings: Settings, model: ModelFile) -> tuple[Station, list[Pixels], list[Pixels]]:
    """A station below a folder with a drawn person enrolled, frames of her, and frames of a stranger."""
    clips = []
    for person in (ADA, EVE):
        clips.append(folder / f"{person}.avi")
        write_clip(clips[-1], Person.from_seed(person), 1, 6.0, width=320, height=240)
    state = folder / "state"
    point = model.operating_point(settings.policy.target_fmr, allow_failed_gate=False)
    station = Station(settings, model, point, Gallery(state), Lockout(state), Journal(StringIO()))
    station.enrol("ada", Video(clips[0]).frames(), lambda *_: None, Manner.NEW)
    ada, eve = ([frame.pixels for frame in Video(clip).frames() if frame] for clip in clips)
    return station, ada, eve


@contextmanager
def _signals() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def main() -> None:
    """Prints the table, or with --json the outcomes. Exit code 1: somebody was granted who should not have been, or nobody who should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--hold", type=float, default=4.0, help="seconds that each fault lasts")
    arguments = parser.parse_args()
    outcomes = run(hold_s=arguments.hold)
    if arguments.json:
        print(json.dumps([outcome.__dict__ for outcome in outcomes]))
    else:
        print("| fault | told | after | accepts in it | next accept after its end |\n|---|---|---|---|---|")
        for seen in outcomes:
            told = f"`{seen.told}`" if seen.told else "nothing"
            print(f"| {seen.fault} | {told} | {seen.told_after_s:.1f} s | {seen.accepts} | {seen.recovered_s:.1f} s |")
    raise SystemExit(not all(seen.expected for seen in outcomes))


if __name__ == "__main__":
    main()
