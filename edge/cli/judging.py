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
    asked,
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
    if not (config or camera or model) and (answer := asked(lambda daemon: _verified(daemon, name, timeout))):
        told, granted = answer, answer["accepted"]
    else:
        told, granted = _verify_here(settings_of(config, camera, model), name, timeout)
    if as_json:
        print(json.dumps(told))
    elif granted:
        console.print(
            f"accepted: {told['subject']} (score {told['score']:.4f}, {told['frames']} frames, {told['operating_point']})"
        )
    else:
        advice = ADVICE[Reason(told["reason"])]
        console.print(f"denied: {told['reason']}: {advice} ({told['frames']} frames, {told['operating_point']})")
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
        told = {"SUBJECT": key} if key else {}
        Journal().tell(Event.LOCKOUT_CLEARED, f"failures of {key or 'anyone'} forgiven", **told)
    if as_json:
        print(json.dumps({"cleared": [key or None for key in cleared], "state": str(state)}))
    else:
        console.print(
            f"forgiven: {', '.join(key or 'anyone' for key in cleared) or 'nobody; there were no failures to forgive'} (in {state})"
        )


class _Asking:
    """Prints what a challenge asks the person for, each time that it changes."""

    def __init__(self) -> None:
        self._last: Way | None = None

    def __call__(self, judged: Judged) -> None:
        from edge.liveness import SENTENCES

        if judged.asked not in (None, self._last):
            hints.print(SENTENCES[judged.asked])
        self._last = judged.asked


def _verify_here(settings: Settings, name: str | None, timeout_s: float) -> tuple[dict[str, Any], bool]:
    from edge.journal import Journal
    from edge.policy import Grant

    # Judged frames are counted even if `timeout` or a closed terminal ends this command. Under nohup SIGHUP stays ignored.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _ended)
    station = station_of(settings, Journal())
    for problem in station.matcher()[2]:
        hints.print(f"warning: {problem}")
    with frames_of(settings) as frames:
        decision = station.verify(name, frames, timeout_s, _Asking())
    granted = isinstance(decision, Grant)
    point = station.point_of(decision.subject if isinstance(decision, Grant) else name)
    told: dict[str, Any] = {"accepted": granted, "frames": decision.frames, "operating_point": point.name}
    if isinstance(decision, Grant):
        return told | {"subject": decision.subject, "score": decision.score}, granted
    return told | {"reason": decision.reason.value}, granted


def _ended(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


async def _verified(daemon: Remote, name: str | None, timeout_s: float) -> dict[str, Any]:
    heard = await daemon.verify(name or "", round(timeout_s), lambda result, details: hints.print(details["text"]))
    told = {"accepted": heard["result"] == "match", "frames": heard.get("frames", 0)}
    # A daemon from before an upgrade does not send it: then the device's is shown.
    told["operating_point"] = heard.get("operating_point") or (await daemon.state())["operating_point"]
    if told["accepted"]:
        return told | {"subject": heard["subject"], "score": heard["score"]}
    if heard["result"] == "disconnected":
        raise CameraError(heard["text"])
    if heard["result"] != "no-match":
        raise BusRefused(heard.get("text", "the daemon failed"))
    return told | {"reason": heard["reason"]}
