"""polkit's agent beside a command: only at a terminal, not for root, and gone with the command. The agent is a stand-in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.bus.agent import polkit_agent

# bash, because dash closes no descriptor above 9.
AGENT = """#!/bin/bash
trap 'echo ended >>{told}; kill $!; exit' TERM
echo "$@" $$ >{told}
for word in "$@"; do case $word in --notify-fd=*) eval "exec ${{word#*=}}>&-" ;; esac; done
sleep 60 & wait
"""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the arguments of the agent; missing if it was not started."""
    program, told = tmp_path / "pkttyagent", tmp_path / "told"
    program.write_text(AGENT.format(told=told))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "isatty", lambda number: True)
    return told


def test_it_is_there_before_the_command_asks_and_gone_after_it(told: Path) -> None:
    with polkit_agent():
        words = told.read_text().split()
    assert (words[0], words[2]) == (f"--process={os.getpid()}", "--fallback")
    assert told.read_text().endswith("ended\n"), "by the command, not by itself"
    with pytest.raises(ProcessLookupError):
        os.kill(int(words[-1]), 0)


def test_root_a_pipe_and_a_system_without_polkit_have_none(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 0)
        with polkit_agent():
            pass
    with monkeypatch.context() as patch:
        patch.setattr(os, "isatty", lambda number: number != 0)
        with polkit_agent():
            pass
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(told.parent / "empty"))
        with polkit_agent():
            pass
    assert not told.exists()


def test_an_agent_that_cannot_be_one_stops_nobody(told: Path) -> None:
    (told.parent / "pkttyagent").write_text("#!/bin/sh\nexit 1\n")
    with polkit_agent():
        pass
    assert not told.exists()
