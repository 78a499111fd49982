"""Who stands there: verify, run, unlock-out."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from edge.cli.shared import AsJson, CameraOption, Config, ModelOption, app, console, frames_of, settings_of, station_of
from edge.contract.errors import ExitCode
from edge.daemon import Daemon
from edge.gallery import check_name
from edge.journal import Event, Journal
from edge.lockout import ANYONE, Lockout
from edge.policy import Grant
from edge.reasons import ADVICE
from edge.settings import state_folder


@app.command(epilog="example: edge verify ada --camera /dev/video0 --json")
def verify(
    name: Annotated[str | None, typer.Argument(help="Is it this subject? Without a name: is it anyone enrolled?")] = None,
    camera: CameraOption = None,
    model: ModelOption = None,
    timeout: Annotated[float, typer.Option(min=1, max=600, help="Seconds of frames before it is a denial.")] = 15.0,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Verifies the person in front of the camera once. Exit code 0 is an accept, 1 a denial."""
    settings = settings_of(config, camera, model)
    station = station_of(settings, Journal())
    for problem in station.matcher()[2]:
        Console(stderr=True, soft_wrap=True).print(f"warning: {problem}")
    with frames_of(settings) as frames:
        decision = station.verify(name, frames, timeout)
    point = station.point
    granted = isinstance(decision, Grant)
    if as_json:
        told: dict[str, Any] = {"accepted": granted, "frames": decision.frames, "operating_point": point.name}
        told |= {"subject": decision.subject, "score": decision.score} if isinstance(decision, Grant) else {
            "reason": decision.reason.value
        }  # fmt: skip
        print(json.dumps(told))
    elif isinstance(decision, Grant):
        console.print(f"accepted: {decision.subject} (score {decision.score:.4f}, {decision.frames} frames, {point.name})")
    else:
        console.print(f"denied: {decision.reason.value}: {ADVICE[decision.reason]} ({decision.frames} frames, {point.name})")
    raise typer.Exit(ExitCode.OK if granted else ExitCode.DENIED)


@app.command(epilog="example: edge run --camera /dev/video0")
def run(
    camera: CameraOption = None,
    model: ModelOption = None,
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON, too.")] = False,
) -> None:
    """The daemon: judges every frame and tells each decision to the journal. SIGHUP reads the gallery again."""
    settings = settings_of(config, camera, model)
    Daemon(station_of(settings, Journal(sys.stdout if as_json else None))).run()


@app.command("unlock-out", epilog="example: edge unlock-out --all")
def unlock_out(
    name: Annotated[str | None, typer.Argument(help="A subject; without one: whoever stands there.")] = None,
    everyone: Annotated[bool, typer.Option("--all", help="All counts, also where their file is damaged.")] = False,
    as_json: AsJson = False,
) -> None:
    """Forgives the failures that locked a subject, or everyone, out. A running daemon takes it over within a second."""
    lockout = Lockout(state_folder())
    cleared = lockout.clear(None if everyone else check_name(name) if name else ANYONE)
    for key in cleared:
        told = {"SUBJECT": key} if key else {}
        Journal().tell(Event.LOCKOUT_CLEARED, f"failures of {key or 'anyone'} forgiven", **told)
    if as_json:
        print(json.dumps({"cleared": [key or None for key in cleared]}))
    else:
        console.print(f"forgiven: {', '.join(key or 'anyone' for key in cleared) or 'nobody was locked out'}")
