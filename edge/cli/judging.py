"""Commands about verifying: verify, unlock-out."""

from __future__ import annotations

import json
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge.bus.client import Remote
from edge.cli.shared import (
    AsJson,
    CameraOption,
    Config,
    ModelOption,
    app,
    ask_daemon,
    console,
    frames_of,
    hints,
    settings_of,
    station_of,
)
from edge.contract.errors import BusRefused, CameraError, ExitCode, InputError
from edge.reasons import ADVICE, Reason

if TYPE_CHECKING:
    from edge.line import Judged
    from edge.liveness import Way
    from edge.settings import Settings


@app.command(epilog="example: edge verify ada --camera /dev/video0 --json")
def verify(
    name: Annotated[
        str | None, typer.Argument(help="Whether it is this subject; without a name, whether it is anyone enrolled.")
    ] = None,
    camera: CameraOption = None,
    model: ModelOption = None,
    timeout: Annotated[float, typer.Option(min=1, max=600, help="Seconds of frames after which it is a denial.")] = 15.0,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Verifies the person in front of the camera once. Exit code 0 is an accept, 1 a denial."""
    if name == "":  # from a script's unset variable: on the bus it would mean anyone who is enrolled
        raise InputError("name '': a subject's name; leave it out to ask whether it is anyone enrolled")
    if not (config or camera or model) and (answer := ask_daemon(lambda daemon: _verify_by_daemon(daemon, name, timeout))):
        report, granted = answer, answer["accepted"]
    else:
        report, granted = _verify_locally(settings_of(config, camera, model), name, timeout)
    if as_json:
        print(json.dumps(report))
    elif granted:
        console.print(
            f"accepted: {report['subject']} (score {report['score']:.4f}, {report['frames']} frames, {report['operating_point']})"
        )
    else:
        advice = ADVICE[Reason(report["reason"])]
        console.print(f"denied: {report['reason']}: {advice} ({report['frames']} frames, {report['operating_point']})")
    raise typer.Exit(ExitCode.OK if granted else ExitCode.DENIED)


@app.command("unlock-out", epilog="example: edge unlock-out --all")
def unlock_out(
    name: Annotated[
        str | None,
        typer.Argument(help="The subject whose count is cleared; without a name, the count of whoever stands at the door."),
    ] = None,
    everyone: Annotated[bool, typer.Option("--all", help="Clear all counts, even if their file is damaged.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ends a lock-out: clears the counted failures. A running daemon notices within a second."""
    from edge.gallery import check_name
    from edge.journal import Event, Journal
    from edge.lockout import ANYONE, Lockout
    from edge.settings import service_folder

    state = service_folder()
    lockout = Lockout(state)
    cleared = lockout.clear(None if everyone else ANYONE if name is None else check_name(name))
    for key in cleared:
        fields = {"SUBJECT": key} if key else {}
        Journal().log(Event.LOCKOUT_CLEARED, f"failures of {key or 'anyone'} forgiven", **fields)
    if as_json:
        print(json.dumps({"cleared": [key or None for key in cleared], "state": str(state)}))
    else:
        console.print(
            f"forgiven: {', '.join(key or 'anyone' for key in cleared) or 'nobody; there were no failures to forgive'} (in {state})"
        )


class _RequestPrinter:
    """Prints what a challenge asks the person for, each time that it changes."""

    def __init__(self) -> None:
        self._last: Way | None = None

    def __call__(self, judged: Judged) -> None:
        from edge.liveness import SENTENCES

        if judged.asked not in (None, self._last):
            hints.print(SENTENCES[judged.asked])
        self._last = judged.asked


def _verify_locally(settings: Settings, name: str | None, timeout_s: float) -> tuple[dict[str, Any], bool]:
    from edge.journal import Journal
    from edge.policy import Grant

    # Judged frames are counted even if `timeout` or a closed terminal ends this command. Under nohup SIGHUP stays ignored.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _exit_on_signal)
    station = station_of(settings, Journal())
    for problem in station.matcher()[2]:
        hints.print(f"warning: {problem}")
    with frames_of(settings) as frames:
        decision = station.verify(name, frames, timeout_s, _RequestPrinter())
    granted = isinstance(decision, Grant)
    point = station.point_of(decision.subject if isinstance(decision, Grant) else name)
    report: dict[str, Any] = {"accepted": granted, "frames": decision.frames, "operating_point": point.name}
    if isinstance(decision, Grant):
        return report | {"subject": decision.subject, "score": decision.score}, granted
    return report | {"reason": decision.reason.value}, granted


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


async def _verify_by_daemon(daemon: Remote, name: str | None, timeout_s: float) -> dict[str, Any]:
    status = await daemon.verify(name or "", round(timeout_s), lambda result, details: hints.print(details["text"]))
    report = {"accepted": status["result"] == "match", "frames": status.get("frames", 0)}
    # A daemon from before an upgrade does not send it: then the device's is shown.
    report["operating_point"] = status.get("operating_point") or (await daemon.state())["operating_point"]
    if report["accepted"]:
        return report | {"subject": status["subject"], "score": status["score"]}
    if status["result"] == "disconnected":
        raise CameraError(status["text"])
    if status["result"] != "no-match":
        raise BusRefused(status.get("text", "the daemon failed"))
    return report | {"reason": status["reason"]}
