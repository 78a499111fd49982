"""The daemon: keeps a camera open, judges its frames, tells each decision, and outlives whatever breaks. Nothing else grants."""

from __future__ import annotations

import random
import signal
import time
from types import FrameType

from edge.camera import Camera, Frame, open_camera
from edge.contract.errors import CameraError, CameraWedged, InputError, StorageError
from edge.contract.modelfile import ModelFile
from edge.gallery import Gallery
from edge.journal import Event, Journal
from edge.line import Line
from edge.matcher import Matcher
from edge.policy import Policy
from edge.settings import Settings
from edge.systemd import notify

LOOK_AT_GALLERY_S = 1.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
NAP_S = 0.25


class Daemon:
    """`edge run`. Until `run` has loaded model and gallery nothing is judged, and after an error nothing is granted."""

    def __init__(self, model: ModelFile, settings: Settings, gallery: Gallery, journal: Journal) -> None:
        self._model, self._settings, self._gallery, self._journal = model, settings, gallery, journal
        self._point = model.operating_point(settings.policy.target_fmr, allow_failed_gate=settings.policy.allow_failed_gate)
        self._line = Line(model, settings)
        self._policy = Policy(settings.policy)
        self._matcher = Matcher(model.head, [])
        self._stamp: object = None
        self._looked = float("-inf")
        self._gallery_broken = False
        self._stop = False
        self._reload = False

    def run(self) -> None:
        """Until SIGTERM or SIGINT, or the end of a replay. SIGHUP reads the gallery again.

        Raises:
            CameraError: a replay cannot be opened or read, or a driver hangs for good. A device that is not there is waited for.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked_to_stop)
        signal.signal(signal.SIGHUP, self._asked_to_reload)
        self._journal.tell(
            Event.STARTED,
            f"judging with {self._model.name} at {self._point.name}",
            MODEL_ID=self._model.model_id,
            RUNTIME=self._line.runtime,
            OPERATING_POINT=self._point.name,
        )
        try:
            self._watch()
        finally:
            notify("STOPPING=1")
            self._journal.tell(Event.STOPPED, "stopped; nothing is judged")

    def _watch(self) -> None:
        self._look_at_gallery()
        notify("READY=1")
        pause, told = FIRST_PAUSE_S, ""
        while not self._stop:
            try:
                camera = open_camera(self._settings.camera)
                try:
                    told = ""
                    if self._judge_frames(camera):
                        pause = FIRST_PAUSE_S
                    if not camera.live:
                        return
                finally:
                    camera.close()
            except CameraError as error:
                # A replay that breaks is not going to mend itself, and a driver that hangs needs another process.
                if not self._may_come_back(error):
                    raise
                if str(error) != told:
                    self._journal.tell(Event.CAMERA_LOST, f"{error}; trying again", ERROR=error.code)
                    told = str(error)
                self._rest(pause * random.uniform(0.8, 1.2))  # noqa: S311 - many devices on one power switch, not secrecy
                pause = min(LONGEST_PAUSE_S, pause * 2)

    def _judge_frames(self, camera: Camera) -> bool:
        running = False
        for frame in camera.frames():
            if self._stop:
                break
            notify("WATCHDOG=1")
            self._look_at_gallery()
            if frame is None:
                continue
            if not running:
                self._journal.tell(Event.CAMERA_RUNNING, f"frames from {camera.name}", CAMERA=camera.name)
                running = True
            self._judge(frame)
        return running

    def _judge(self, frame: Frame) -> None:
        if self._policy.blocked(frame.at):
            return
        try:
            judged = self._line.judge(frame, self._matcher, self._point.threshold, self._policy)
        except InputError as error:
            raise CameraError(f"unusable frame: {error}") from error
        if judged.decision is not None:
            self._journal.tell_decision(judged.decision, operating_point=self._point.name, cost_ms=judged.cost_ms)

    def _look_at_gallery(self) -> None:
        """Takes over what was enrolled or removed since, at most once a second: who was removed must not be let in."""
        now = time.monotonic()
        if not self._reload and now - self._looked < LOOK_AT_GALLERY_S:
            return
        self._looked = now
        try:
            stamp = self._gallery.stamp()
            if stamp == self._stamp and not self._reload:
                return
            subjects, refused = self._gallery.read_for(self._model.model_id, self._model.head.size)
        except StorageError as error:
            self._matcher = Matcher(self._model.head, [])
            self._stamp = None
            if not self._gallery_broken:
                self._journal.tell(Event.GALLERY_REFUSED, f"{error}; nobody is recognised", ERROR=error.code)
            self._gallery_broken = True
            return
        self._gallery_broken, self._reload, self._stamp = False, False, stamp
        self._matcher = Matcher(self._model.head, subjects)
        for problem in refused:
            self._journal.tell(Event.GALLERY_REFUSED, str(problem), ERROR=problem.code)
        self._journal.tell(Event.GALLERY_LOADED, f"{len(subjects)} subjects enrolled", SUBJECTS=len(subjects))

    def _may_come_back(self, error: CameraError) -> bool:
        source = self._settings.camera.source
        return (source.isdigit() or source.startswith("/dev/")) and not isinstance(error, CameraWedged)

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stop and time.monotonic() < until:
            notify("WATCHDOG=1")
            self._look_at_gallery()
            time.sleep(NAP_S)

    def _asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop = True

    def _asked_to_reload(self, number: int, frame: FrameType | None) -> None:
        self._reload = True
