"""A real journald: what the daemon writes, what `edge events` reads back, what journalctl explains, and what must be in none of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.journal import Event
from tests.conftest import ADA, EVE, MODEL

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """`journal(script)`: the output of a shell script that runs with its own journald."""
    if os.geteuid() != 0 or not Path("/lib/systemd/systemd-journald").exists() or shutil.which("unshare") is None:
        pytest.skip("needs root, systemd-journald and unshare")
    pytest.importorskip("systemd.journal", reason="systemd-python is not installed")
    folder = tmp_path_factory.mktemp("journal")

    def run(script: str) -> str:
        (folder / "script.sh").write_text(f'set -e\nedge() {{ {sys.executable} -m edge "$@"; }}\n{script}\n')
        words = [HERE / "journald.sh", "bash", folder / "script.sh"]
        environment = os.environ | {"STATE_DIRECTORY": str(folder / "state")}
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    (folder / "state").mkdir()
    return run


def test_events_go_in_and_come_out_by_field(journal: Callable[[str], str], clip: Callable[[int, int], Path]) -> None:
    told = journal(f"""
        printf '[detection]\\nmin_face_px = 60\\n' > "$STATE_DIRECTORY/edge.toml"
        with="--config $STATE_DIRECTORY/edge.toml --model {MODEL}"
        edge enroll ada --camera {clip(ADA, 1)} $with >/dev/null
        edge run --camera {clip(ADA, 2)} $with
        edge run --camera {clip(EVE, 1)} $with
        edge remove ada >/dev/null
        journalctl --sync
        edge events --since all --json
        echo ==
        edge events --since 1h --stats --json --by-hand
        echo ==
        edge events --since 1h --stats --json
        echo ==
        edge events --since all
        echo ==
        journalctl -o json --no-pager
    """)
    lines, figures, service, text, raw = told.split("==\n")
    found = [json.loads(line) for line in lines.splitlines()]
    names = [row["event"] for row in found]
    assert names[0] == "enrolled"
    assert names[-1] == "removed"
    assert {"started", "accept", "deny", "stopped", "gallery-loaded", "camera-running"} <= set(names)
    accept = next(row for row in found if row["event"] == "accept")
    assert accept["subject"] == "ada"
    assert 0 < float(accept["score"]) <= 1
    assert all("score" not in row for row in found if row["event"] != "accept")
    assert json.loads(figures)["events"]["accept"] == names.count("accept")
    assert json.loads(figures)["cost_ms"]["p50"] > 0
    assert {row["by"] for row in found} == {"root"}
    assert (json.loads(service)["events"], json.loads(service)["not_counted"]) == ({}, len(found))
    assert "(by hand: root)" in text
    assert "accepted ada" in text
    entries = [json.loads(line) for line in raw.splitlines()]
    ours = [entry for entry in entries if entry.get("SYSLOG_IDENTIFIER") == "facelatch"]
    assert len(ours) == len(found)
    assert all(len(str(value)) < 400 for entry in ours for value in entry.values())  # too short for an embedding


def test_what_somebody_else_writes_under_our_name_is_not_believed(journal: Callable[[str], str]) -> None:
    """The forged entry has our name, our MESSAGE_ID and all fields, and goes to the socket that anyone may write to. It also claims the
    unit, a field that journald does not accept from a writer.
    """
    forged = "\\n".join(
        (
            "MESSAGE=accepted mallory",
            f"MESSAGE_ID={Event.ACCEPT.message_id}",
            "SYSLOG_IDENTIFIER=facelatch",
            "FACELATCH_SUBJECT=mallory",
            "_SYSTEMD_UNIT=facelatch.service",
            "_UID=0",
        )
    )
    told = journal(f"""
        setpriv --reuid 65534 --regid 65534 --clear-groups bash -c "printf '{forged}\\n' | logger --journald"
        journalctl --sync
        journalctl --no-pager -o json SYSLOG_IDENTIFIER=facelatch FACELATCH_SUBJECT=mallory _UID=65534 | wc -l
        echo ==
        edge events --since 1h --json 2>&1
    """)
    there, shown = told.split("==\n")
    assert there.strip() == "1"
    assert '"mallory"' not in shown
    assert "wrote entries under facelatch's name" in shown
    assert "_UID=65534" in shown


def test_a_span_from_before_the_journals_first_year_shows_all(journal: Callable[[str], str]) -> None:
    """The journal counts from 1970: an earlier time is invalid to it, or lies in the future."""
    told = journal(f"""
        {sys.executable} -c 'from edge.journal import Event, Journal; Journal().log(Event.STOPPED, "stopped")'
        journalctl --sync
        edge events --since 30000d
    """)
    assert "stopped" in told


@pytest.mark.parametrize("since", ["²h", "2", "-1h", "99999999d"])
def test_a_span_that_is_none_is_said_to_be(since: str) -> None:
    words = [sys.executable, "-m", "edge", "events", f"--since={since}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 3
    assert "expected a number with m, h or d" in done.stderr


def test_the_catalog_is_one_that_journalctl_takes(tmp_path: Path) -> None:
    if shutil.which("journalctl") is None:
        pytest.skip("journalctl is not installed")
    catalog = tmp_path / "usr/lib/systemd/catalog"
    catalog.mkdir(parents=True)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    shutil.copy(ROOT / "deploy/facelatch.catalog", catalog)
    update = ["journalctl", f"--root={tmp_path}", "--update-catalog"]
    done = subprocess.run(update, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    database = (tmp_path / "var/lib/systemd/catalog/database").read_bytes()
    assert [event.label for event in Event if bytes.fromhex(event.message_id) not in database] == []
