"""The `edge` command: reads arguments, calls one function, prints what it did. The only module of the device that prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from edge.camera import Camera, Frame, csi, open_camera
from edge.camera.v4l2 import nodes
from edge.contract.errors import ExitCode, FacelatchError, InputError, PackageMissing, StorageError
from edge.contract.modelfile import read_model
from edge.daemon import Daemon
from edge.enrol import enrol
from edge.events import rows, statistics
from edge.gallery import Gallery, check_name, new_subject
from edge.journal import Event, Journal
from edge.line import Line
from edge.lockout import ANYONE, Failures, Lockout
from edge.matcher import Matcher
from edge.models import model_path
from edge.policy import Denial, Grant, Policy
from edge.quality import Refusal
from edge.rates import Bounds, far, far_until_disabled, frr
from edge.reasons import ADVICE, Reason
from edge.settings import Settings, as_toml, load_settings, state_folder
from edge.systemd import journal_entries

app = typer.Typer(help="Face unlock on the device.", no_args_is_help=True, pretty_exceptions_enable=False)
models = typer.Typer(help="Look into a model file.", no_args_is_help=True)
configuration = typer.Typer(help="The settings in force.", no_args_is_help=True)
app.add_typer(models, name="model")
app.add_typer(configuration, name="config")
console = Console(soft_wrap=True)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}

Config = Annotated[Path | None, typer.Option("--config", help="Settings file; /etc/facelatch/edge.toml where not given.")]
CameraOption = Annotated[str | None, typer.Option("--camera", help="A V4L2 device, a video file or an image folder.")]
ModelOption = Annotated[Path | None, typer.Option("--model", help="Model file; the settings' where not given.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Name = Annotated[str, typer.Argument(help="The subject: a-z, 0-9, '_', '.', '-', at most 32.")]


@app.command("enroll", epilog="example: edge enroll ada --camera /dev/video0")
def enroll(
    name: Name,
    camera: CameraOption = None,
    model: ModelOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Enrol anew who is enrolled already.")] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Enrols the person in front of the camera. Keeps templates, no picture."""
    settings = _settings(config, camera, model)
    gallery = Gallery(state_folder())
    if check_name(name) in gallery.names() and not replace:
        raise InputError(f"{name}: already enrolled; --replace enrols again, `edge remove {name}` takes out")
    verifier = read_model(model_path(settings.model.path))
    point = verifier.operating_point(settings.policy.target_fmr, allow_failed_gate=settings.policy.allow_failed_gate)
    line = Line(verifier, settings)
    others, _ = gallery.read_for(verifier.model_id, verifier.head.size)
    matcher = Matcher(verifier.head, [subject for subject in others if subject.name != name])
    with _frames(settings) as frames, _guide(f"enrolling {name}: look into the camera, turn your head slowly") as progressed:
        enrolment = enrol(line, verifier.head, point.threshold, frames, matcher, settings.enrolment, progressed)
    gallery.write(new_subject(name, verifier.model_id, enrolment.templates), replace=replace)
    count = len(enrolment.templates)
    Journal().tell(Event.ENROLLED, f"enrolled {name}", SUBJECT=name, FRAMES=count, MODEL_ID=verifier.model_id)
    if as_json:
        told = {"subject": name, "templates": count, "recognised": enrolment.recognised, "checked": enrolment.checked}
        print(json.dumps(told | {"model_id": verifier.model_id}))
        return
    console.print(
        f"enrolled {name} with {count} templates; of {enrolment.checked} further frames "
        f"{enrolment.recognised} were recognised at {point.name}"
    )


@app.command("list", epilog="example: edge list --json")
def list_subjects(as_json: AsJson = False) -> None:
    """Lists who is enrolled, readable or not."""
    gallery = Gallery(state_folder())
    subjects: list[dict[str, Any]] = []
    for name in gallery.names():
        try:
            subject = gallery.read(name)
        except (InputError, StorageError, ValueError) as error:
            subjects.append({"subject": name, "error": str(error)})
            continue
        created = datetime.fromtimestamp(subject.created).astimezone().isoformat()
        subjects.append(
            {"subject": name, "templates": len(subject.templates), "enrolled": created, "model_id": subject.model_id}
        )
    if as_json:
        print(json.dumps({"subjects": subjects}))
        return
    table = Table("subject", "templates", "enrolled", "model", title=f"{gallery.folder}: {len(subjects)} enrolled")
    for entry in subjects:
        if "error" in entry:
            table.add_row(entry["subject"], "-", entry["error"], "-")
        else:
            table.add_row(entry["subject"], str(entry["templates"]), entry["enrolled"][:16], entry["model_id"][:12])
    console.print(table)


@app.command(epilog="example: edge remove ada")
def remove(name: Name) -> None:
    """Removes a subject's templates; a running daemon takes it over within a second."""
    Gallery(state_folder()).remove(check_name(name))
    Lockout(state_folder()).clear(name)
    Journal().tell(Event.REMOVED, f"removed {name}", SUBJECT=name)
    console.print(f"removed {name}")


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
    settings = _settings(config, camera, model)
    gallery = Gallery(state_folder())
    verifier = read_model(model_path(settings.model.path))
    point = verifier.operating_point(settings.policy.target_fmr, allow_failed_gate=settings.policy.allow_failed_gate)
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
        with _frames(settings) as frames:
            decision, cost_ms = _decide(line, matcher, point.threshold, policy, frames, timeout, empty=not subjects)
        # Before anyone hears of it: a grant whose failures cannot be cleared, or a failure that cannot be counted, is an error.
        if policy.failures != before.count:
            lockout.write(key, Failures(policy.failures, decision.locked_s if isinstance(decision, Denial) else 0.0))
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
    settings = _settings(config, camera, model)
    verifier = read_model(model_path(settings.model.path))
    Daemon(verifier, settings, Gallery(state_folder()), Lockout(state_folder()), Journal(sys.stdout if as_json else None)).run()


@app.command(epilog="example: edge cameras --json")
def cameras(as_json: AsJson = False) -> None:
    """Lists the cameras of this machine, and why each video node that is none cannot be used."""
    found = nodes()
    try:
        ribbon = csi.cameras()
    except PackageMissing:
        ribbon = []
    if as_json:
        print(json.dumps({"v4l2": [asdict(node) for node in found], "csi": ribbon}))
        return
    table = Table(
        "camera.source", "what it is", "driver", "", title=f"{len(found) + len(ribbon)} video nodes and ribbon cameras"
    )
    for node in found:
        source = node.path if node.problem else node.stable_path or node.usb_id or node.path
        table.add_row(source, node.card or "?", node.driver, node.problem or "can be used")
    for number, name in enumerate(ribbon):
        table.add_row(f"csi:{number}", name, "libcamera", "can be used")
    console.print(table)


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


@app.command(epilog="example: edge events --since 2h --stats")
def events(
    since: Annotated[str, typer.Option(help="How far back: 30m, 2h, 7d, or all.")] = "1d",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens from now on.")] = False,
    stats: Annotated[
        bool, typer.Option("--stats", help="Counts, reasons by day and percentiles instead of a line an event.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Shows what facelatch told the journal. With --json one object a line, or one of all figures."""
    begin = None if since == "all" else datetime.now().astimezone() - _span(since)
    found = rows(journal_entries(begin, follow=follow and not stats))
    if stats:
        figures = statistics(found)
        print(json.dumps(figures)) if as_json else _tell_statistics(figures)
        return
    for row in found:
        if as_json:
            print(json.dumps(row.to_json()), flush=True)
            continue
        shown = " ".join(f"{key}={value}" for key, value in row.fields.items() if key not in ("model_id", "operating_point"))
        console.print(f"{row.at:%Y-%m-%d %H:%M:%S}  {row.event:<16} {row.message}  [{shown}]", markup=False, highlight=False)


def _span(text: str) -> timedelta:
    number, unit = text[:-1], text[-1:]
    if not number.isdigit() or unit not in _UNITS:
        raise InputError(f"--since {text!r}: expected a number with m, h or d, such as 2h, or all")
    return timedelta(**{_UNITS[unit]: int(number)})


def _tell_statistics(figures: dict[str, Any]) -> None:
    table = Table("event", "count", title="events")
    for event, count in figures["events"].items():
        table.add_row(event, str(count))
    console.print(table)
    told = sorted({key for counted in figures["days"].values() for key in counted})
    table = Table("day", *told, title="decisions by day")
    for day, counted in figures["days"].items():
        table.add_row(day, *(str(counted.get(key, 0)) for key in told))
    console.print(table)
    for key, what in (("cost_ms", "milliseconds of a decision's last frame"), ("frames", "frames to a decision")):
        if figures[key]:
            console.print(", ".join(f"{name} {value:g}" for name, value in figures[key].items()) + f": {what}")


@models.command("show", epilog="example: edge model show model.tflite")
def show_model(
    file: Annotated[Path, typer.Argument(help="A model file, or the name of one that comes along.")], as_json: AsJson = False
) -> None:
    """Verifies a model file and shows what it carries."""
    verifier = read_model(model_path(str(file)))
    if as_json:
        print(json.dumps(verifier.record))
        return
    console.print(f"{file}: model {verifier.name}, {verifier.model_id[:12]}, {len(verifier.tower.flatbuffer)} bytes of network")
    console.print(
        f"chip {verifier.chip.side_px} px ({verifier.chip.detector}), {'aligned, ' if verifier.aligner else ''}"
        f"input {verifier.tower.input.dtype}, output {verifier.tower.output.dtype} [{verifier.head.size}], cohort of {len(verifier.cohort)}"
    )
    table = Table("operating point", "threshold", "FMR (95 %)", "FNMR (95 %)", "impostor", "genuine")
    for point in verifier.operating_points:
        table.add_row(
            point.name,
            f"{point.threshold:.6f}",
            f"{point.fmr:.2g} ({point.fmr_interval[0]:.2g}-{point.fmr_interval[1]:.2g})",
            f"{point.fnmr:.2%} ({point.fnmr_interval[0]:.2%}-{point.fnmr_interval[1]:.2%})",
            str(point.impostor_trials),
            str(point.genuine_trials),
        )
    console.print(table)


@configuration.command("show", epilog="example: edge config show > edge.toml")
def show_config(config: Config = None, as_json: AsJson = False) -> None:
    """Prints every setting in force with its meaning, as TOML."""
    settings = load_settings(config)
    if as_json:
        print(json.dumps(settings.model_dump(mode="json") | {"expected": _expected(settings)}))
        return
    print(as_toml(settings))
    for key, value in _expected(settings).items():
        print(f"# {key}: {value}")


def _expected(settings: Settings) -> dict[str, str]:
    """What the policy makes of the model's rates, in words; why not, where the model cannot be read."""
    try:
        point = read_model(model_path(settings.model.path)).operating_point(
            settings.policy.target_fmr, allow_failed_gate=settings.policy.allow_failed_gate
        )
    except FacelatchError as error:
        return {"expected rates": f"unknown: {error}"}
    wrong, missed, tried = far(point, settings.policy), frr(point, settings.policy), far_until_disabled(point, settings.policy)
    k_of_n = f"{settings.policy.matches} of {settings.policy.frames} frames at {point.name}"

    def told(bounds: Bounds) -> str:
        return f"{bounds.independent:.2g} if frames are independent, {bounds.alike:.2g} if all are alike"

    return {
        "FAR of one attempt, one subject enrolled": f"{told(wrong)} ({k_of_n}, FMR {point.fmr:.2g} of {point.impostor_trials})",
        "FRR of one attempt": f"{told(missed)} (FNMR {point.fnmr:.2g} of {point.genuine_trials})",
        "FAR until disabled": f"{told(tried)} ({settings.policy.disable_failures} attempts)",
    }


def _settings(config: Path | None, camera: str | None, model: Path | None) -> Settings:
    settings = load_settings(config)
    if camera is not None:
        settings = settings.model_copy(update={"camera": settings.camera.model_copy(update={"source": camera})})
    if model is not None:
        settings = settings.model_copy(update={"model": settings.model.model_copy(update={"path": str(model)})})
    return settings


@contextmanager
def _frames(settings: Settings) -> Iterator[Iterator[Frame | None]]:
    camera: Camera = open_camera(settings.camera)
    try:
        yield camera.frames()
    finally:
        camera.close()


@contextmanager
def _guide(title: str) -> Iterator[Any]:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} {task.fields[hint]}"))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None, hint="")

        def progressed(done: int, wanted: int, refusal: Refusal | None) -> None:
            hint = "" if refusal is None else f"{ADVICE[refusal.reason]} ({refusal.measured:.0f} of {refusal.wanted:.0f})"
            bar.update(task, completed=done, total=wanted, hint=hint)

        yield progressed


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
