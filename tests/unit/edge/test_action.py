"""The action after a grant: it ends, its outcome is reported, and its failure does not stop the daemon."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
import tracemalloc
from pathlib import Path

import pytest

from edge.action import GRACE_S, LAST_WORDS_S, Action, Actor, Command, UnlockSession, load_action
from edge.contract.errors import ActionBusy, ActionFailed, SettingsError
from edge.policy import Grant
from edge.settings import ActionSettings, Settings, load_settings

ADA = Grant("ada", 0.99, 3)
GOES_ON = threading.Event()
UNIT = Path(__file__).parents[3] / "deploy/facelatch.service"


def test_the_default_is_to_log_and_nothing_more() -> None:
    assert load_action(ActionSettings()) is None


def test_a_command_gets_the_name_and_not_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of the daemon")
    out = tmp_path / "out"
    Command(["/bin/sh", "-c", f"env > {out}"], 5)(ADA, GOES_ON)
    told = out.read_text()
    assert "FACELATCH_SUBJECT=ada" in told
    assert "SECRET" not in told


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["/bin/false"], "/bin/false: exit code 1"),
        (["/bin/sh", "-c", "kill -9 $$"], "/bin/sh: ended by signal 9"),
        (["/none/such"], "/none/such: cannot be started"),
        (["/bin/sleep", "60"], r"not done after 0\.2 s"),
    ],
)
def test_a_command_that_fails_says_how(argv: list[str], told: str) -> None:
    with pytest.raises(ActionFailed, match=told):
        Command(argv, 0.2)(ADA, GOES_ON)


def alive(pid: int) -> bool:
    """Whether a process runs. A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_command_that_takes_too_long_is_ended_with_what_it_started(tmp_path: Path) -> None:
    script = f"sleep 600 & echo $! > {tmp_path}/child; trap 'echo let go > {tmp_path}/told; exit' TERM; wait; true"
    with pytest.raises(ActionFailed, match="all that it had started"):
        Command(["/bin/sh", "-c", script], 1)(ADA, GOES_ON)
    child = int((tmp_path / "child").read_text())
    while alive(child):  # SIGKILL was sent, but the kernel may take a moment
        pass
    assert (tmp_path / "told").read_text() == "let go\n"


def test_who_does_not_hear_is_ended_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.action.LAST_WORDS_S", 0.1)
    with pytest.raises(ActionFailed, match="was ended"):
        Command(["/bin/sh", "-c", f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.05; done"], 0.5)(ADA, GOES_ON)
    assert not alive(int((tmp_path / "pid").read_text()))


def test_what_a_command_leaves_in_the_background_is_not_waited_for(tmp_path: Path) -> None:
    """It keeps the command's stdout and stderr open. That is no failure, and it is not killed."""
    Command(["/bin/sh", "-c", f"sleep 600 & echo $! > {tmp_path}/child"], 30)(ADA, GOES_ON)
    child = int((tmp_path / "child").read_text())
    assert alive(child)
    os.kill(child, signal.SIGKILL)


def test_what_a_command_prints_is_not_kept(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        Command(["/usr/bin/head", "-c", "50000000", "/dev/zero"], 30)(ADA, GOES_ON)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_logind_that_prints_without_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "loginctl"
    tool.write_text("#!/bin/sh\nexec yes\n")
    tool.chmod(0o755)
    monkeypatch.setattr("edge.action._PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(ActionFailed, match="not done after"):
        UnlockSession("ada", 0.2)(ADA, GOES_ON)


def test_a_session_is_unlocked_for_the_subjects_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for loginctl records its arguments."""
    tool = tmp_path / "loginctl"
    tool.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n[ "$1" = show-user ] && echo "c1 4"\nexit 0\n')
    tool.chmod(0o755)
    monkeypatch.setattr("edge.action._PATH", f"{tmp_path}:/bin")
    for user in ("", "bob"):
        action = load_action(ActionSettings(kind="unlock-session", user=user))
        assert action is not None
        action(ADA, GOES_ON)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[0].endswith("-- ada")
    assert asked[3].endswith("-- bob")
    assert asked[1:3] == asked[4:] == ["unlock-session -- c1", "unlock-session -- 4"]


def test_a_subjects_number_is_no_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """loginctl would take a staff number such as 1000 for the uid of the machine's first user."""
    tool = tmp_path / "loginctl"
    tool.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\necho 1\n')
    tool.chmod(0o755)
    monkeypatch.setattr("edge.action._PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ActionFailed, match="1000 is a number and no user's name"):
        UnlockSession("", 5)(Grant("1000", 0.99, 3), GOES_ON)
    assert not (tmp_path / "asked").exists()


def test_a_session_without_a_lock_keeps_no_other_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """logind 256 and later lists the session of the user's service manager first; loginctl stops at a session that it cannot unlock."""
    tool = tmp_path / "loginctl"
    words = (
        '[ "$1" = show-user ] && echo "2 1" && exit\nshift 2\nfor s; do [ $s = 1 ] || exit 1; echo $s >> '
        + f"{tmp_path}/unlocked; done\n"
    )
    tool.write_text("#!/bin/sh\n" + words)
    tool.chmod(0o755)
    monkeypatch.setattr("edge.action._PATH", f"{tmp_path}:/bin")
    UnlockSession("ada", 5)(ADA, GOES_ON)
    assert (tmp_path / "unlocked").read_text() == "1\n"
    tool.write_text('#!/bin/sh\n[ "$1" = show-user ] && echo "2 1" && exit\nexit 1\n')
    with pytest.raises(ActionFailed, match="exit code 1"):
        UnlockSession("ada", 5)(ADA, GOES_ON)


@pytest.fixture
def pins(monkeypatch: pytest.MonkeyPatch) -> object:
    """gpiozero's own mock of the pins."""
    gpiozero = pytest.importorskip("gpiozero")
    from gpiozero.pins.mock import MockFactory

    factory = MockFactory()
    monkeypatch.setattr(gpiozero.Device, "pin_factory", factory)
    yield factory
    factory.reset()


@pytest.mark.parametrize("active_high", [True, False])
def test_a_pulse_begins_and_ends(pins: object, active_high: bool) -> None:
    action = load_action(ActionSettings(kind="gpio", pin="GPIO17", pulse_s=0.05, active_high=active_high))
    pin = pins.pin(17)
    rest = pin.state
    assert bool(rest) is not active_high
    seen = []
    thread = threading.Thread(target=action, args=(ADA, GOES_ON))
    thread.start()
    while thread.is_alive():
        seen.append(pin.state)
    assert (not rest) in [bool(state) for state in seen]
    assert pin.state == rest


def test_a_pulse_ends_when_its_wait_is_broken(pins: object) -> None:
    action = load_action(ActionSettings(kind="gpio", pin="GPIO17", pulse_s=7.5))

    class Broken(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert (pins.pin(17).state, timeout) == (1, 7.5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        action(ADA, Broken())
    assert pins.pin(17).state == 0


@pytest.mark.parametrize("active_high", [True, False])
def test_a_stop_lets_the_pin_go_at_once(pins: object, active_high: bool) -> None:
    """If the wait were not cut short, the pulse of 15 s would be reported as done."""
    action = load_action(ActionSettings(kind="gpio", pin="GPIO17", pulse_s=15.0, active_high=active_high))
    pin, told = pins.pin(17), []
    rest = pin.state
    actor = Actor(action, lambda grant, error: told.append(str(error)))
    actor.begin(ADA)
    while pin.state == rest:
        pass
    actor.finish()
    assert pin.state == rest
    assert told == ["action.pulse_s = 15: let go early, the daemon stops"]


def test_a_stop_ends_a_command_with_what_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.action.GRACE_S", 0.1)
    told: list[str] = []
    actor = Actor(
        Command(["/bin/sh", "-c", f"sleep 600 & echo $! > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/child; wait"], 60),
        lambda grant, error: told.append(str(error)),
    )
    actor.begin(ADA)
    while not (tmp_path / "child").exists():
        pass
    actor.finish()
    assert told == ["/bin/sh: not done when the daemon stopped; it was ended, and all that it had started"]
    while alive(int((tmp_path / "child").read_text())):
        pass


def test_a_stop_leaves_a_command_a_moment_to_end_by_itself(tmp_path: Path) -> None:
    told: list[object] = []
    actor = Actor(
        Command(["/bin/sh", "-c", f"touch {tmp_path}/begun; while [ ! -e {tmp_path}/end ]; do sleep 0.05; done"], 60),
        lambda grant, error: told.append(error),
    )
    actor.begin(ADA)
    while not (tmp_path / "begun").exists():
        pass
    ender = threading.Timer(0.3, (tmp_path / "end").touch)
    ender.start()
    actor.finish()
    assert told == [None]


def test_a_stop_leaves_that_moment_once_however_many_sessions_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each unlocking is done in time, but a logind that is slow because it stops, too, must not hold up the daemon for all of them."""
    tool = tmp_path / "loginctl"
    tool.write_text('#!/bin/sh\n[ "$1" = show-user ] && echo "1 2 3 4 5 6 7 8" && exit\nsleep 0.25\n')
    tool.chmod(0o755)
    monkeypatch.setattr("edge.action._PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr("edge.action.GRACE_S", 1.0)
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(ActionFailed, match="not done when the daemon stopped"):
        UnlockSession("ada", 60)(ADA, stopping)


def test_whatever_the_settings_an_action_ends_before_systemds_patience() -> None:
    """A hanging camera may take its default time to close, and a pulse ends by itself even if the daemon's main thread is stuck."""
    (patience,) = re.findall(r"^TimeoutStopSec=(\d+)s$", UNIT.read_text(), re.MULTILINE)
    with pytest.raises(ValueError, match="pulse_s"):
        ActionSettings(kind="gpio", pin="GPIO17", pulse_s=float(patience))
    assert Settings().camera.stall_s + GRACE_S + 2 * LAST_WORDS_S < int(patience)


def test_a_pin_that_is_not_there_is_told_when_the_daemon_starts(pins: object) -> None:
    with pytest.raises(ActionFailed, match=r"action\.pin = 'GPIO99'"):
        load_action(ActionSettings(kind="gpio", pin="GPIO99"))


class Slow:
    """An action that runs until the test lets it end."""

    def __init__(self) -> None:
        self.begun, self.end, self.times = threading.Event(), threading.Event(), 0

    def __call__(self, grant: Grant, stopping: threading.Event) -> None:
        self.times += 1
        self.begun.set()
        self.end.wait(5)


def test_a_second_grant_while_one_is_running_sets_off_none() -> None:
    slow, told = Slow(), []
    actor = Actor(slow, lambda grant, error: told.append((grant.subject, error)))
    began = time.monotonic()
    actor.begin(ADA)
    slow.begun.wait(5)
    actor.begin(ADA)
    assert time.monotonic() - began < 4  # neither call waits for the action
    ((subject, error),) = told
    assert (subject, type(error)) == ("ada", ActionBusy)
    slow.end.set()
    actor.finish()
    assert (slow.times, told[1:]) == (1, [("ada", None)])


def test_whatever_an_action_raises_is_told() -> None:
    def broken(grant: Grant, stopping: threading.Event) -> None:
        raise RuntimeError("the driver's own")

    action: Action = broken
    told: list[str] = []
    actor = Actor(action, lambda grant, error: told.append(str(error)))
    actor.begin(ADA)
    actor.finish()
    assert told == ["RuntimeError: the driver's own"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('kind = "command"', "needs argv"),
        ('kind = "command"\nargv = ["sh", "-c", "x"]', "absolute path"),
        ('kind = "gpio"', "needs pin"),
        ('kind = "door"', r"action\.kind"),
        ('user = "Ada; rm"', r"action\.user"),
    ],
)
def test_incomplete_settings_are_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "edge.toml").write_text(f"[action]\n{text}\n")
    with pytest.raises(SettingsError, match=told):
        load_settings(tmp_path / "edge.toml")
