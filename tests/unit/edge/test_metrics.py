"""Metrics: what is counted, that nobody is named, and a file that cannot be written."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.camera.state import CameraState
from edge.journal import Journal
from edge.metrics import Metrics
from edge.policy import Denial, Grant
from edge.reasons import Reason
from edge.settings import MetricsSettings


def metrics_of(file: Path, journal: Journal) -> tuple[Metrics, Any]:
    daemon = SimpleNamespace(camera_state=CameraState.DARK, door=SimpleNamespace(enrolled=3, failures=2, cost_listeners=[]))
    return Metrics(daemon, journal, MetricsSettings(file=str(file), every_s=3600)), daemon  # type: ignore[arg-type]


def test_decisions_and_frames_are_counted_and_nobody_is_named(tmp_path: Path) -> None:
    journal = Journal(io.StringIO())
    file = tmp_path / "facelatch.prom"
    metrics, daemon = metrics_of(file, journal)
    metrics.start()
    journal.log_decision(Grant("ada", 0.9871, 3), operating_point="fmr-0.001", cost_ms=4.0)
    for _ in range(2):
        journal.log_decision(Denial(Reason.NO_MATCH, 10), operating_point="fmr-0.001", cost_ms=4.0)
    for listener in daemon.door.cost_listeners:
        listener(0.004)
    metrics._write()
    text = file.read_text()
    assert 'facelatch_decisions_total{reason="",result="accept"} 1.0' in text
    assert 'facelatch_decisions_total{reason="no-match",result="deny"} 2.0' in text
    assert 'facelatch_camera_state{state="dark"} 1.0' in text
    assert 'facelatch_camera_state{state="running"} 0.0' in text
    assert "facelatch_enrolled 3.0" in text
    assert 'facelatch_frame_seconds_bucket{le="0.005"} 1.0' in text
    assert "ada" not in text
    assert "0.98" not in text
    metrics.stop()
    assert not file.exists()


def test_a_temperature_that_nothing_measures_is_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sensor appears, breaks and comes back; each write shows its current state."""
    sensor, file = tmp_path / "temp", tmp_path / "facelatch.prom"
    monkeypatch.setattr("edge.metrics.THERMAL", sensor)
    metrics, _ = metrics_of(file, Journal(io.StringIO()))
    told = []
    for content in (None, "51540\n", "", "-3000\n"):
        if content is not None:
            sensor.write_text(content)
        metrics._write()
        told.append([line for line in file.read_text().splitlines() if line.startswith("facelatch_temperature_celsius ")])
    assert told == [[], ["facelatch_temperature_celsius 51.54"], [], ["facelatch_temperature_celsius -3.0"]]


def test_a_disk_that_takes_no_file_is_told_once(tmp_path: Path) -> None:
    copy = io.StringIO()
    metrics, _ = metrics_of(tmp_path / "missing" / "facelatch.prom", Journal(copy))
    for _ in range(3):
        metrics._write()
    told = [json.loads(line) for line in copy.getvalue().splitlines()]
    assert [event["event"] for event in told] == ["metrics-broken"]
    (tmp_path / "missing").mkdir()
    metrics._write()
    assert (tmp_path / "missing" / "facelatch.prom").exists()
