"""`edge unlock-out` says whose failure counts it cleared, and does not touch counts that no door reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge import settings
from edge.cli import app
from edge.contract.errors import NameRejected, StorageError
from edge.lockout import ANYONE, Lockout
from edge.settings import PolicySettings


@pytest.fixture
def ordinary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The state folder of a user who may not write to the service's."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "own"))
    monkeypatch.setattr(settings, "SERVICE_STATE", tmp_path / "service")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    return tmp_path / "own/facelatch"


def test_where_the_service_has_a_folder_another_users_is_not_changed(ordinary: Path, tmp_path: Path) -> None:
    (tmp_path / "service").mkdir()
    done = CliRunner().invoke(app, ["unlock-out", "--all"])
    assert isinstance(done.exception, StorageError)
    assert str(tmp_path / "service") in str(done.exception)
    assert "sudo" in str(done.exception)
    assert "forgiven" not in done.output
    assert not ordinary.exists()


def test_where_no_service_is_installed_it_says_which_folder(ordinary: Path) -> None:
    done = CliRunner().invoke(app, ["unlock-out", "--all"])
    assert done.output == f"forgiven: nobody; there were no failures to forgive (in {ordinary})\n"


def test_a_folder_that_is_named_is_taken(ordinary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "service").mkdir()
    monkeypatch.setenv("STATE_DIRECTORY", str(ordinary))
    Lockout(ordinary).fail("ada", PolicySettings())
    done = CliRunner().invoke(app, ["unlock-out", "ada", "--json"])
    assert json.loads(done.stdout) == {"cleared": ["ada"], "state": str(ordinary)}
    assert Lockout(ordinary).everyone() == {}


def test_an_empty_name_is_not_whoever_stands_there(ordinary: Path) -> None:
    """An unset variable in a script gives an empty name."""
    Lockout(ordinary).fail(ANYONE, PolicySettings())
    assert isinstance(CliRunner().invoke(app, ["unlock-out", ""]).exception, NameRejected)
    assert Lockout(ordinary).everyone() == {ANYONE: 1}
    assert CliRunner().invoke(app, ["unlock-out"]).exit_code == 0
    assert Lockout(ordinary).everyone() == {}
