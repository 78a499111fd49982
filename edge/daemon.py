"""The daemon: keeps a camera open, judges its frames, tells each decision, and outlives whatever breaks. Nothing else grants."""

from __future__ import annotations

import ctypes
import gc
import random
import signal
import time
from contextlib import suppress
from dataclasses import replace
from types import FrameType

from edge.action import Actor, load_action
from edge.camera import Camera, Frame, is_replay, open_camera
from edge.contract.errors import ActionFailed, CameraError, CameraWedged, InputError, StorageError
from edge.contract.modelfile import ModelFile
from edge.gallery import Gallery
from edge.journal import Event, Journal
from edge.line import Line
from edge.lockout import ANYONE, Lockout
from edge.matcher import Matcher
from edge.policy import Denial, Grant, Policy
from edge.reasons import Reason
from edge.settings import Settings
from edge.systemd import notify

LOOK_AT_GALLERY_S = 1.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
NAP_S = 0.25


class Daemon:
    """`edge run`. Until `run` has loaded model and gallery nothing is judged, and after an error nothing is granted."""

    def __init__(self, model: ModelFile, settings: Settings, gallery: Gallery, lockout: Lockout, journal: Journal) -> None:
        self._model, self._settings, self._gallery, self._journal = model, settings, gallery, journal
        self._lockout = lockout
        self._lockout_stamp: object = ()
        self._lockout_broken = False
        self._tried_lockout = float("-inf")
        self._actor = Actor(load_action(settings.action), self._tell_action)
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
            self._actor.finish()
            self._journal.tell(Event.STOPPED, "stopped; nothing is judged")

    def _watch(self) -> None:
        self._look_at_gallery()
        self._look_at_lockout()
        _give_memory_back()
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
            self._look_at_lockout()
            if frame is None:
                continue
            if not running:
                self._journal.tell(Event.CAMERA_RUNNING, f"frames from {camera.name}", CAMERA=camera.name)
                running = True
            self._judge(frame)
        return running

    def _judge(self, frame: Frame) -> None:
        if self._lockout_broken or self._policy.blocked(frame.at):
            return
        try:
            judged = self._line.judge(frame, self._matcher, self._point.threshold, self._policy)
        except InputError as error:
            raise CameraError(f"unusable frame: {error}") from error
        decision = None if judged.decision is None else self._counted(judged.decision)
        if decision is not None:
            self._journal.tell_decision(decision, operating_point=self._point.name, cost_ms=judged.cost_ms)
            if isinstance(decision, Grant):
                self._actor.begin(decision)

    def _counted(self, decision: Grant | Denial) -> Grant | Denial | None:
        """Keeps the failures on disk before anyone hears of the decision, and says what it is then: what cannot be kept grants nothing.

        A denial that could not be written is owed, see `Lockout.fail`.
        """
        how = self._settings.policy
        try:
            if isinstance(decision, Denial):
                failures = self._lockout.fail(ANYONE, how)
                decision = replace(decision, locked_s=failures.rest_s)
            else:
                failures = self._lockout.succeed(ANYONE, how)
                if failures.count:
                    decision = Denial(Reason.LOCKED_OUT, decision.frames)
        except StorageError as error:
            self._break_lockout(error)
            return decision if isinstance(decision, Denial) else None
        self._policy.restore(failures)
        return decision

    def _look_at_lockout(self) -> None:
        """Takes over what `edge unlock-out` or a verification changed. While the counts cannot be read nobody is judged."""
        now = time.monotonic()
        if self._lockout_broken and now - self._tried_lockout < LOOK_AT_GALLERY_S:
            return
        self._tried_lockout = now
        try:
            if self._lockout_broken:
                # What is owed is added first. And a grant needs that the counts can be written, not only read.
                self._lockout.settle(self._settings.policy)
            stamp = self._lockout.stamp()
            if stamp == self._lockout_stamp:
                return
            self._policy.restore(self._lockout.read(ANYONE, self._settings.policy.lockout_s))
        except StorageError as error:
            self._break_lockout(error)
            return
        self._lockout_stamp, self._lockout_broken = stamp, False

    def _break_lockout(self, error: StorageError) -> None:
        if not self._lockout_broken:
            self._journal.tell(Event.LOCKOUT_BROKEN, f"{error}; nobody is judged", ERROR=error.code)
        self._lockout_broken, self._lockout_stamp = True, ()

    def _tell_action(self, grant: Grant, error: ActionFailed | None) -> None:
        kind = self._settings.action.kind.value
        if error is None:
            self._journal.tell(Event.ACTION_DONE, f"done: {kind}", ACTION=kind, SUBJECT=grant.subject)
        else:
            self._journal.tell(Event.ACTION_FAILED, str(error), ACTION=kind, SUBJECT=grant.subject, ERROR=error.code)

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
        return not is_replay(self._settings.camera.source) and not isinstance(error, CameraWedged)

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


def _give_memory_back() -> None:
    """What reading and checking the model took: the C library would keep it for good, a seventh of all this process has."""
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
