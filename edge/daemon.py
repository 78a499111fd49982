"""The daemon: owns the camera, watches a door or waits for requests, does the jobs of callers on the bus, and survives what breaks."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from types import FrameType
from typing import Protocol

from edge.camera import Camera, Frame, is_replay, open_camera
from edge.camera.state import CameraState, CameraWatch
from edge.camera.stream import without_password
from edge.contract.errors import CameraError, CameraWedged, InputError
from edge.desk import Desk, Job
from edge.door import Door
from edge.journal import Event
from edge.memory import give_back
from edge.settings import CameraSettings, Mode
from edge.station import Station
from edge.systemd import notify

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
NAP_S = 0.25

_EVENTS = {
    CameraState.CLOSED: (Event.CAMERA_CLOSED, "closed; nobody looks"),
    CameraState.STARTING: (Event.CAMERA_STARTING, "opening"),
    CameraState.DARK: (Event.CAMERA_DARK, "shows nothing; is the lens covered, the light off?"),
    CameraState.RUNNING: (Event.CAMERA_RUNNING, "gives frames"),
    CameraState.STALLED: (Event.CAMERA_STALLED, "gives no frames for the moment"),
}


class Beside(Protocol):
    """Something that runs in its own thread beside the daemon."""

    def start(self) -> None:
        """Begins, before the daemon is ready."""
        ...

    def stop(self) -> None:
        """Ends."""
        ...


class Daemon:
    """`edge run`. Nothing is judged until `run` has read gallery and failures, and nothing is granted after an error.

    Raises:
        SettingsError: camera.source does not say which camera is meant.
    """

    def __init__(self, station: Station, opened: Callable[[CameraSettings], Camera] = open_camera) -> None:
        self._station, self._settings, self._journal = station, station.settings, station.journal
        self.desk, self.door = Desk(), Door(station)
        self._open_camera, self._watched = opened, CameraWatch()
        self._source = without_password(self._settings.camera.source)
        self._recorded = is_replay(self._settings.camera.source)
        self._on_demand = self._settings.service.mode is Mode.ON_DEMAND
        self.beside: list[Beside] = []
        self.held: Callable[[], bool] = lambda: False
        """Whether a caller on the bus holds the device or waits for polkit: in on-demand mode the daemon must not exit then."""
        self._last_call_at = time.monotonic()
        self._job: Job | None = None
        self._has_run = self._stop = False
        self._reload = True

    @property
    def camera_state(self) -> CameraState:
        """What the camera is doing."""
        return self._watched.state

    def run(self) -> None:
        """Runs until SIGTERM or SIGINT, the end of a replay or, on demand, too long a time without a caller. SIGHUP reloads the gallery.

        Raises:
            CameraError: a replay cannot be opened or read, or a driver hangs for good. A missing device is waited for.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop_signal)
        signal.signal(signal.SIGHUP, self._on_reload_signal)
        self._journal.log(
            Event.STARTED,
            f"judging with {self._station.model.name} at {self._station.point.name}",
            MODEL_ID=self._station.model.model_id,
            RUNTIME=self._station.line.runtime,
            OPERATING_POINT=self._station.point.name,
        )
        try:
            self._serve()
        finally:
            notify("STOPPING=1")
            for other in self.beside:
                other.stop()
            self.door.close()
            self._journal.log(Event.STOPPED, "stopped; nothing is judged")

    def note_call(self) -> None:
        """Notes that a caller is there, which in on-demand mode postpones the exit. May be called from any thread."""
        self._last_call_at = time.monotonic()

    def stop(self) -> None:
        """Ends `run` with the next frame. May be called from any thread."""
        self._stop = True

    def _serve(self) -> None:
        self._tick()
        for other in self.beside:
            other.start()
        give_back()
        notify("READY=1")
        pause = FIRST_PAUSE_S
        while not self._stop:
            job = self._next_job() if self._on_demand else None
            if self._on_demand and job is None:
                return
            try:
                if self._look(job) and not self._on_demand:
                    return
            except CameraError as error:
                # Whoever waits is told now, not once the camera is back.
                self.desk.fail(error)
                if job is not None:
                    job.fail(error)
                # A hung driver needs a new process, and a broken replay will not recover.
                if isinstance(error, CameraWedged) or (not self._on_demand and self._recorded):
                    raise
                if not self._on_demand:
                    pause, self._has_run = FIRST_PAUSE_S if self._has_run else pause, False
                    self._pause(pause * random.uniform(0.8, 1.2))  # noqa: S311 - many devices on one power switch, not secrecy
                    pause = min(LONGEST_PAUSE_S, pause * 2)

    def _look(self, job: Job | None) -> bool:
        """Opens the camera, does jobs and watches the door, until the camera is no longer wanted. Returns whether a replay has ended."""
        with self._camera() as (camera, frames):
            if job is not None:
                self._do(job, frames)
            # Time of the last job, not the last call: whoever only asks for the status must not keep the camera open.
            worked_at = time.monotonic()
            for frame in frames:
                if not self._on_demand:
                    # The door goes first: a locked-out caller's job takes no frame, and he may ask again before each.
                    self._judge(frame)
                if job := self.desk.take():
                    self._do(job, frames)
                    worked_at = time.monotonic()
                elif self._on_demand and time.monotonic() - worked_at > self._settings.service.linger_s:
                    break
            self.note_call()
            return not camera.live

    def _do(self, job: Job, frames: Iterator[Frame | None]) -> None:
        self._job = job
        try:
            if job.shares and not self._on_demand:
                with closing(self._shared(frames)) as shared:
                    job.run(shared)
            else:
                job.run(frames)
        finally:
            self._job = None

    def _shared(self, frames: Iterator[Frame | None]) -> Generator[Frame | None, None, None]:
        """The frames of a job, each of which the door judges as well, afterwards: the caller goes first, also in using a press of the
        button. While the door asks somebody to turn the head, the job gets None: nobody can follow two requests at once.
        """
        for frame in frames:
            try:
                yield None if self.door.asks else frame
            finally:
                # Also the frame with which the job ended.
                self._judge(frame)

    def _judge(self, frame: Frame | None) -> None:
        if frame is None or self._watched.state is not CameraState.RUNNING:
            return
        try:
            self.door.judge(frame)
        except InputError as error:
            raise CameraError(f"unusable frame: {error}") from error

    @contextmanager
    def _camera(self) -> Iterator[tuple[Camera, Iterator[Frame | None]]]:
        self._log_camera_state(self._watched.opening(time.monotonic()), self._source)
        try:
            camera = self._open_camera(self._settings.camera)
            try:
                yield camera, self._ticking(camera)
            finally:
                camera.close()
        except CameraError as error:
            if (state := self._watched.failed(error)) is not None:
                event = Event.CAMERA_BUSY if state is CameraState.BUSY else Event.CAMERA_LOST
                self._journal.log(event, f"{error}; {'closed' if self._on_demand else 'trying again'}", ERROR=error.code)
            raise
        self._log_camera_state(self._watched.closed(), camera.name)

    def _ticking(self, camera: Camera) -> Iterator[Frame | None]:
        """The camera's frames; between two of them it does what must be done whoever takes them."""
        for frame in camera.frames():
            self._tick()
            if self._stop:
                # Without this an enrolment would take the end of the frames for the end of a recording, and keep half of itself.
                if self._job is not None:
                    self._job.cancel()
                return
            self._log_camera_state(self._watched.saw(frame, time.monotonic()), camera.name)
            self._has_run |= self._watched.state is CameraState.RUNNING
            # While the camera still counts as lost or busy, a frame may be from before the loss.
            yield None if self._watched.state in (CameraState.BUSY, CameraState.LOST) else frame

    def _tick(self) -> None:
        notify("WATCHDOG=1")
        at_once, self._reload = self._reload, False
        self.door.look(at_once=at_once)

    def _next_job(self) -> Job | None:
        """Waits for a job with the camera closed; None when it is time to exit."""
        idle_exit_s = self._settings.service.idle_exit_s
        while not self._stop and not (idle_exit_s and not self.held() and time.monotonic() - self._last_call_at > idle_exit_s):
            self._tick()
            if job := self.desk.take(NAP_S):
                return job
        return None

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._stop and time.monotonic() < deadline:
            self._tick()
            if job := self.desk.take(NAP_S):
                job.fail(CameraError(f"{self._source}: the camera is {self._watched.state.value}"))

    def _log_camera_state(self, entered: CameraState | None, name: str) -> None:
        if entered is not None:
            event, message = _EVENTS[entered]
            self._journal.log(event, f"{name}: {message}", CAMERA=name)

    def _on_stop_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop = True

    def _on_reload_signal(self, number: int, frame: FrameType | None) -> None:
        self._reload = True
