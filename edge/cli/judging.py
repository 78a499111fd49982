"""Who stands there: verify, run, unlock-out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.console import Console

from edge.camera import Frame
from edge.cli.shared import AsJson, CameraOption, Config, ModelOption, app, console, frames_of, settings_of, verifier_of
from edge.contract.errors import ExitCode
from edge.contract.modelfile import read_model
from edge.daemon import Daemon
from edge.gallery import Gallery, check_name
from edge.journal import Event, Journal
from edge.line import Line
from edge.lockout import ANYONE, Lockout
from edge.matcher import Matcher
from edge.models import model_path
from edge.policy import Denial, Grant, Policy
from edge.reasons import ADVICE, Reason
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
    gallery = Gallery(state_folder())
    verifier, point = verifier_of(settings)
    line = Line(verifier, settings)
    if name is not None:
        gallery.read(check_name(name))
    subjects, refused = gallery.read_for(verifier.model_id, verifier.head.size)
    for problem in refused:
        if name is not None and name not in [subject.name for subject in subjects]:
            raise problem
        Console(stderr=True, soft_wrap=True).print(f"warning: {problem}")
    lockout, key = Lockout(state_folder()), name or ANYONE
    before = lockout.read(key, settings.policy.lockout_s)
    policy, matcher = Policy(settings.policy, only=name, before=before), Matcher(verifier.head, subjects)
    cost_ms = 0.0
    if before.count >= settings.policy.disable_failures:
        decision: Grant | Denial = Denial(Reason.DISABLED, 0)
    elif before.rest_s:
        decision = Denial(Reason.LOCKED_OUT, 0)
    else:
        with frames_of(settings) as frames:
            decision, cost_ms = _decide(line, matcher, point.threshold, policy, frames, timeout, empty=not subjects)
        # Before anyone hears of it: a grant whose failures cannot be cleared, or a failure that cannot be counted, is an error.
        if isinstance(decision, Grant):
            against = lockout.succeed(key, settings.policy)
            if against.count:
                decision = Denial(Reason.LOCKED_OUT, decision.frames)
        elif policy.failures > before.count:
            decision = replace(decision, locked_s=lockout.fail(key, settings.policy).rest_s)
    Journal().tell_decision(decision, operating_point=point.name, cost_ms=cost_ms)
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
    verifier = read_model(model_path(settings.model.path))
    Daemon(verifier, settings, Gallery(state_folder()), Lockout(state_folder()), Journal(sys.stdout if as_json else None)).run()


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


def _decide(
    line: Line,
    matcher: Matcher,
    threshold: float,
    policy: Policy,
    frames: Iterator[Frame | None],
    timeout_s: float,
    *,
    empty: bool,
) -> tuple[Grant | Denial, float]:
    last, cost_ms, first, at = Reason.NO_FRAMES, 0.0, None, 0.0
    if empty:
        return Denial(Reason.EMPTY_GALLERY, 0), cost_ms
    for frame in frames:
        if frame is None:
            continue
        first = frame.at if first is None else first
        if frame.at - first > timeout_s:
            break
        at = frame.at
        judged = line.judge(frame, matcher, threshold, policy)
        cost_ms = judged.cost_ms
        if judged.decision is not None:
            return judged.decision, cost_ms
        if isinstance(judged.outcome, Reason):
            last = judged.outcome
    return policy.give_up(at) or Denial(last, 0), cost_ms
