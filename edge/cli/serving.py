"""The daemon, and the commands that ask it something: run, attempt, status."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from edge.bus.client import has_system_bus
from edge.cli.shared import (
    AsJson,
    CameraOption,
    Config,
    ModelOption,
    app,
    ask_daemon,
    console,
    gallery_of,
    settings_of,
    station_of,
    verifier_of,
)
from edge.contract.errors import BusRefused, SettingsError

if TYPE_CHECKING:
    from edge.settings import Settings


@app.command(epilog="example: edge run --camera /dev/video0")
def run(
    camera: CameraOption = None,
    model: ModelOption = None,
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="Also print each event as a line of JSON.")] = False,
) -> None:
    """Runs the daemon: judges every frame and writes each decision to the journal. SIGHUP reads the gallery again."""
    from edge.daemon import Daemon
    from edge.journal import Journal
    from edge.settings import Mode

    settings = settings_of(config, camera, model)
    station = station_of(settings, Journal(sys.stdout if as_json else None))
    daemon = Daemon(station)
    if settings.service.bus and has_system_bus():
        from edge.bus.server import BusServer

        daemon.beside.append(BusServer(daemon, station))
    elif settings.service.mode is Mode.ON_DEMAND:
        raise SettingsError("service.mode = on-demand: needs the system bus and service.bus = true; otherwise nobody can ask")
    if settings.metrics.file:
        from edge.metrics import Metrics

        daemon.beside.append(Metrics(daemon, station.journal, settings.metrics))
    daemon.run()


@app.command(epilog="example: edge attempt")
def attempt() -> None:
    """Lets the daemon judge whoever stands there now, if intent.kind = call makes it wait for that."""
    if ask_daemon(lambda daemon: daemon.call("Attempt")) is None:
        raise BusRefused("no daemon answers on the system bus: systemctl start facelatch")
    console.print(
        "whoever stands before the camera is judged, unless locked out or in quiet hours; `edge events` tells what comes of it"
    )


@app.command(epilog="example: edge status --json")
def status(config: Config = None, as_json: AsJson = False) -> None:
    """Shows what the running daemon does: its camera, its model, how many are enrolled. Exit code 11: no daemon answers; what is shown
    is then what one would start with.
    """
    running = None if config else ask_daemon(lambda daemon: daemon.state())
    report = running or _report_without_daemon(settings_of(config, None, None))
    if as_json:
        print(json.dumps(report))
    else:
        from rich.table import Table

        table = Table(show_header=False, box=None)
        table.add_column()
        table.add_column(overflow="fold")
        for key, value in report.items():
            table.add_row(key.replace("_", " "), str(value))
        console.print(table)
    if running is None:
        raise BusRefused("no daemon answers on the system bus: systemctl status facelatch")


def _report_without_daemon(settings: Settings) -> dict[str, str | int]:
    from edge.camera.state import CameraState
    from edge.camera.stream import without_password
    from edge.contract.runtime import runtime_name

    verifier, point = verifier_of(settings)
    return {
        "mode": settings.service.mode.value,
        "camera": CameraState.CLOSED.value,
        "source": without_password(settings.camera.source),
        "model": verifier.name,
        "model_id": verifier.model_id,
        "operating_point": point.name,
        "runtime": runtime_name(),
        "enrolled": len(gallery_of(settings).names()),
        "doing": "nothing",
    }
