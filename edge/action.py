"""What a grant does beyond its line in the journal: a command, a pulse on a pin, a session unlocked. Decides nothing.

An action runs in a thread of its own, one at a time; one that fails or takes too long is told and never stops the daemon.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from edge.contract.errors import ActionFailed
from edge.policy import Grant
from edge.settings import ActionKind, ActionSettings

# Given to commands instead of the daemon's own environment, which may hold credentials.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Action(Protocol):
    """Something that a grant sets off."""

    def __call__(self, grant: Grant) -> None:
        """Does it, and comes back when it is done.

        Raises:
            ActionFailed: it did not happen, or not wholly.
        """
        ...


def load_action(settings: ActionSettings) -> Action | None:
    """The action that the settings name; None where a grant is logged and nothing more.

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
    """A fixed command, by no shell. FACELATCH_SUBJECT in its environment says who; nothing of it is put into the words."""

    def __init__(self, argv: Sequence[str], timeout_s: float) -> None:
        self._argv, self._timeout_s = list(argv), timeout_s

    def __call__(self, grant: Grant) -> None:
        """See `Action`."""
        _run(self._argv, self._timeout_s, {"FACELATCH_SUBJECT": grant.subject})


class UnlockSession:
    """The screen locks of a user's sessions, by logind. The user is the one that is set, or has the subject's name."""

    def __init__(self, user: str, timeout_s: float) -> None:
        self._user, self._timeout_s = user, timeout_s

    def __call__(self, grant: Grant) -> None:
        """See `Action`."""
        user = self._user or grant.subject
        sessions = _run(["loginctl", "show-user", "--property=Sessions", "--value", "--", user], self._timeout_s, {}).split()
        if not sessions:
            raise ActionFailed(f"unlock-session: {user} has no session")
        _run(["loginctl", "unlock-session", "--", *sessions], self._timeout_s, {})


class Actor:
    """Runs an action beside the daemon. A grant that comes while one is running sets off none: the door is open already."""

    def __init__(self, action: Action | None, done: Callable[[Grant, ActionFailed | None], None]) -> None:
        self._action, self._done = action, done
        self._thread: threading.Thread | None = None

    def begin(self, grant: Grant) -> None:
        """Sets the action off. Comes back at once."""
        if self._action is None or (self._thread is not None and self._thread.is_alive()):
            return
        self._thread = threading.Thread(target=self._run, args=(self._action, grant), name="action")
        self._thread.start()

    def finish(self) -> None:
        """Waits for what is running: a pulse must end before the process does."""
        if self._thread is not None:
            self._thread.join()

    def _run(self, action: Action, grant: Grant) -> None:
        try:
            action(grant)
        except ActionFailed as error:
            self._done(grant, error)
        except Exception as error:  # noqa: BLE001 - a driver's own exception must not end a thread untold
            self._done(grant, ActionFailed(f"{type(error).__name__}: {error}"))
        else:
            self._done(grant, None)


def _run(argv: list[str], timeout_s: float, environment: dict[str, str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - an administrator's fixed words, no shell
            argv,
            env={"PATH": _PATH, "LANG": "C.UTF-8"} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise ActionFailed(f"{argv[0]}: not done after {timeout_s:g} s; it was ended") from error
    except OSError as error:
        raise ActionFailed(f"{argv[0]}: cannot be started: {error.strerror}") from error
    if done.returncode:
        raise ActionFailed(f"{argv[0]}: exit code {done.returncode}")
    return done.stdout
