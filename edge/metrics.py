"""Metrics for Prometheus, in a file that node_exporter's textfile collector reads. Counts and times; nobody's name, no score."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, write_to_textfile
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from edge.camera.state import CameraState
from edge.daemon import Daemon
from edge.journal import Event, Journal
from edge.settings import MetricsSettings

THERMAL = Path("/sys/class/thermal/thermal_zone0/temp")
_BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class Metrics:
    """Listens to events and judged frames from `start` to `stop`, and writes the file every `every_s` seconds in its own thread."""

    def __init__(self, daemon: Daemon, journal: Journal, settings: MetricsSettings) -> None:
        self._daemon, self._journal, self._settings = daemon, journal, settings
        self._registry = CollectorRegistry()
        self._frames = Histogram(
            "facelatch_frame_seconds",
            "From the pixels of a judged frame to its outcome",
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self._decisions = Counter("facelatch_decisions", "Attempts that ended", ["result", "reason"], registry=self._registry)
        self._events = Counter("facelatch_events", "Events told to the journal", ["event"], registry=self._registry)
        self._camera = Gauge("facelatch_camera_state", "1 for the state the camera is in", ["state"], registry=self._registry)
        self._enrolled = Gauge("facelatch_enrolled", "Subjects that can be recognised", registry=self._registry)
        self._failures = Gauge("facelatch_failures", "Denials since the last accept", registry=self._registry)
        self._registry.register(_Thermometer())
        self._broken = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Begins to count."""
        self._journal.listeners.append(self._on_event)
        self._daemon.door.cost_listeners.append(self._frames.observe)
        self._thread.start()

    def stop(self) -> None:
        """Stops, and removes the file: what is no longer measured must not look as if it were."""
        if self._thread.is_alive():
            self._stopped.set()
            self._thread.join()
            with suppress(OSError):
                Path(self._settings.file).unlink(missing_ok=True)

    def _on_event(self, event: Event, fields: dict[str, object]) -> None:
        self._events.labels(event.label).inc()
        if event in (Event.ACCEPT, Event.DENY):
            self._decisions.labels(event.label, str(fields.get("REASON", ""))).inc()

    def _run(self) -> None:
        while True:
            self._write()
            if self._stopped.wait(self._settings.every_s):
                return

    def _write(self) -> None:
        for state in CameraState:
            self._camera.labels(state.value).set(self._daemon.camera_state is state)
        self._enrolled.set(self._daemon.door.enrolled)
        self._failures.set(self._daemon.door.failures)
        try:
            write_to_textfile(self._settings.file, self._registry)
            # The service's umask keeps its files to itself; the collector is another user, and nothing here is secret.
            Path(self._settings.file).chmod(0o644)
            self._broken = False
        except OSError as error:
            if not self._broken:
                self._journal.log(
                    Event.METRICS_BROKEN,
                    f"metrics.file = {self._settings.file}: {error.strerror}; judging goes on",
                    ERROR="storage",
                )
            self._broken = True


class _Thermometer(Collector):
    """The processor's temperature; no sample where nothing measures it, because a zero would be one."""

    def collect(self) -> Iterable[Metric]:
        """Called by prometheus_client each time the file is written."""
        try:
            celsius = int(THERMAL.read_text()) / 1000
        except (OSError, ValueError):
            return []
        return [GaugeMetricFamily("facelatch_temperature_celsius", "Of the processor", value=celsius)]
