"""`edge verify` without a daemon, ended by a signal before its last frame; and an empty name, which nobody has."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edge.camera import Frame
from edge.cli import app, judging
from edge.contract.errors import InputError
from edge.contract.modelfile import ModelFile
from edge.gallery import Gallery, new_subject
from edge.journal import Journal
from edge.line import Judged
from edge.lockout import Lockout
from edge.policy import Policy
from edge.reasons import Reason
from edge.settings import Settings
from edge.station import Station


@pytest.fixture
def unhandled() -> Iterator[None]:
    """Default handlers for the three signals, also where a shell that runs the tests in the background has them ignored; the earlier
    handlers are restored."""
    default = {signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in default.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("unhandled")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_ends_a_verification_forgives_nobody(
    tmp_path: Path, model: ModelFile, settings: Settings, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    point = model.operating_point(settings.policy.target_fmr, allow_failed_gate=False)
    station = Station(settings, model, point, Gallery(tmp_path), Lockout(tmp_path), Journal(io.StringIO()))
    station.gallery.write(new_subject("ada", model.model_id, np.ones((3, model.head.size), np.float32)), replace=False)

    def judge(frame: Frame, matcher: object, threshold: float, policy: Policy) -> Judged:
        return Judged(Reason.NO_MATCH, policy.observe(Reason.NO_MATCH, frame.at), None, 1.0)

    def frames() -> Iterator[Frame | None]:
        for at in range(9):
            yield Frame(np.zeros((2, 2, 3), np.uint8), 0.1 * at)
        os.kill(os.getpid(), number)
        while True:
            yield None

    def set_to(value: object) -> Callable[..., object]:
        return lambda *_: value

    monkeypatch.setattr(station.line, "judge", judge)
    monkeypatch.setattr(judging, "station_of", set_to(station))
    monkeypatch.setattr(judging, "frames_of", set_to(nullcontext(frames())))
    with pytest.raises(KeyboardInterrupt if number is signal.SIGINT else SystemExit) as ended:
        judging._verify_locally(settings, "ada", 15.0)
    assert ended.value.args == (() if number is signal.SIGINT else (128 + number,))
    assert station.lockout.everyone() == {"ada": 1}


def test_an_empty_name_is_nobody_and_not_anyone(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unset variable in a script gives an empty name. To the daemon it means anyone enrolled, so it accepted whoever stood there."""
    asked: list[object] = []
    monkeypatch.setattr(judging, "ask_daemon", asked.append)
    done = CliRunner().invoke(app, ["verify", ""])
    assert isinstance(done.exception, InputError)
    assert "leave it out" in str(done.exception)
    assert asked == []
