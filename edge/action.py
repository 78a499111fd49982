"""What a grant does beyond its line in the journal: a command, a pulse on a pin, a session unlocked. Decides nothing.

An action runs in its own thread, one at a time. One that fails or takes too long is logged and never stops the daemon.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from edge.contract.errors import ActionBusy, ActionFailed
from edge.policy import Grant
from edge.settings import ActionKind, ActionSettings

# Given to commands instead of the daemon's own environment, which may hold credentials.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The capacity of a Linux pipe. It is read only after the command has exited: one that prints more blocks, and is ended.
_PIPE_BYTES = 65536
# Seconds between two checks whether the daemon stops.
_NAP_S = 0.1
# Seconds that a stop of the daemon leaves a command to end by itself, and that it has after SIGTERM and after SIGKILL. Together with the
# time that a camera may take to close, they must stay below the service's TimeoutStopSec=, after which nothing can be released any more.
GRACE_S, LAST_WORDS_S = 4.0, 1.0


class Action(Protocol):
    """Something that a grant sets off."""

    def __call__(self, grant: Grant, stopping: threading.Event) -> None:
        """Performs the action and returns when it is done, or soon after `stopping` is set, whatever the settings.

        Raises:
            ActionFailed: it was not done, or not completely.
        """
        ...


def load_action(settings: ActionSettings) -> Action | None:
    """The action that the settings name; None if a grant is only logged.

    Raises:
        PackageMissing, ActionFailed: a pin is to be pulsed, and gpiozero is not installed or the pin is not there.
    """
    match settings.kind:
        case ActionKind.LOG:
            return None
        case ActionKind.COMMAND:
            return Command(settings.argv, settings.timeout_s)
        case ActionKind.GPIO:
            from edge.gpio import Pulse

            return Pulse(settings.pin, settings.pulse_s, active_high=settings.active_high)
        case ActionKind.UNLOCK_SESSION:
            return UnlockSession(settings.user, settings.timeout_s)


class Command:
    """Runs a fixed command without a shell. Its environment has the subject in FACELATCH_SUBJECT, which is never put into the arguments."""

    def __init__(self, argv: Sequence[str], timeout_s: float) -> None:
        self._argv, self._timeout_s = list(argv), timeout_s

    def __call__(self, grant: Grant, stopping: threading.Event) -> None:
        """See `Action`."""
        _run(self._argv, _Time(self._timeout_s, stopping), {"FACELATCH_SUBJECT": grant.subject})


class UnlockSession:
    """Unlocks the screens of a user's sessions through logind. The user is the one in the settings, or has the subject's name."""

    def __init__(self, user: str, timeout_s: float) -> None:
        self._user, self._timeout_s = user, timeout_s

    def __call__(self, grant: Grant, stopping: threading.Event) -> None:
        """See `Action`."""
        user = self._user or grant.subject
        if user.isdecimal():
            # loginctl would take it for a user id, and so for a user with another name.
            raise ActionFailed(
                f"unlock-session: {user} is a number and no user's name; name subjects as users are, or set action.user"
            )
        allowed, failed = _Time(self._timeout_s, stopping), list[ActionFailed]()
        list_sessions = ["loginctl", "show-user", "--property=Sessions", "--value", "--", user]
        sessions = _run(list_sessions, allowed, {}, capture_output=True).split()
        if not sessions:
            raise ActionFailed(f"unlock-session: {user} has no session")
        # One by one: loginctl stops at the first session that it cannot unlock, and since systemd 256 a user's service manager has a
        # session, too, which has no lock.
        for session in sessions:
            try:
                _run(["loginctl", "unlock-session", "--", session], allowed, {})
            except ActionFailed as error:
                if allowed.left_s() <= 0:
                    raise
                failed.append(error)
        if len(failed) == len(sessions):
            raise failed[0]


class Actor:
    """Runs an action beside the daemon. A grant that comes while one is running starts none, and `on_done` gets ActionBusy."""

    def __init__(self, action: Action | None, on_done: Callable[[Grant, ActionFailed | None], None]) -> None:
        self._action, self._on_done = action, on_done
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def begin(self, grant: Grant) -> None:
        """Starts the action and returns at once."""
        if self._action is None:
            return
        if self._thread is not None and self._thread.is_alive():
            self._on_done(grant, ActionBusy("the action of an earlier grant is still running; no further one was begun"))
            return
        self._thread = threading.Thread(target=self._run, args=(self._action, grant), name="action")
        self._thread.start()

    def finish(self) -> None:
        """Makes a running action end soon, and waits for it: a pulse must end before the process does."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, action: Action, grant: Grant) -> None:
        try:
            action(grant, self._stopping)
        except ActionFailed as error:
            self._on_done(grant, error)
        except Exception as error:  # noqa: BLE001 - a driver's own exception must not end a thread untold
            self._on_done(grant, ActionFailed(f"{type(error).__name__}: {error}"))
        else:
            self._on_done(grant, None)


class _Time:
    """The time of one action, however many commands it runs: `limit_s`, of which a stop of the daemon leaves GRACE_S."""

    def __init__(self, limit_s: float, stopping: threading.Event) -> None:
        self.limit_s, self.stopping = limit_s, stopping
        self._ends_at = time.monotonic() + limit_s

    def left_s(self) -> float:
        """The seconds that are left; 0 or less when none are."""
        if self.stopping.is_set():
            self._ends_at = min(self._ends_at, time.monotonic() + GRACE_S)
        return self._ends_at - time.monotonic()


def _run(argv: list[str], allowed: _Time, environment: dict[str, str], *, capture_output: bool = False) -> str:
    """Runs a command until it exits, not waiting for what it leaves in the background. Returns what it prints if `capture_output`."""
    try:
        process = subprocess.Popen(  # noqa: S603 - an administrator's fixed words, no shell
            argv,
            env={"PATH": _PATH, "LANG": "C.UTF-8"} | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if capture_output else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )
    except OSError as error:
        raise ActionFailed(f"{argv[0]}: cannot be started: {error.strerror}") from error
    if not _wait(process, allowed):
        _terminate(process)
        when = "when the daemon stopped" if allowed.stopping.is_set() else f"after {allowed.limit_s:g} s"
        raise ActionFailed(f"{argv[0]}: not done {when}; it was ended, and all that it had started")
    output = _read_output(process)
    if process.returncode:
        raise ActionFailed(f"{argv[0]}: {_exit_text(process.returncode)}")
    return output


def _wait(process: subprocess.Popen[bytes], allowed: _Time) -> bool:
    """Whether a command exits by itself within the time allowed."""
    while (left_s := allowed.left_s()) > 0:
        with suppress(subprocess.TimeoutExpired):
            process.wait(min(left_s, _NAP_S))
            return True
    return False


def _terminate(process: subprocess.Popen[bytes]) -> None:
    """Ends a command and its children: first by SIGTERM, because a script may have a lock to release."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(OSError):  # none of them is left, or they run as another user by now
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(LAST_WORDS_S)
    _read_output(process)


def _read_output(process: subprocess.Popen[bytes]) -> str:
    """Reads what is in the pipe, at most its capacity, without waiting for a child that still holds it open."""
    if process.stdout is None:
        return ""
    with process.stdout as pipe:
        os.set_blocking(pipe.fileno(), False)
        return (pipe.read(_PIPE_BYTES) or b"").decode(errors="replace")


def _exit_text(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"ended by signal {-code}"
