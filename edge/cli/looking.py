"""Commands that show something: cameras, bench, events, model, config."""

from __future__ import annotations

import json
import os
import pwd
import re
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from edge.cli.shared import (
    AsJson,
    CameraOption,
    Config,
    ModelOption,
    app,
    console,
    frames_of,
    gallery_of,
    hints,
    settings_of,
    verifier_of,
)
from edge.contract.errors import FacelatchError, InputError, PackageMissing

if TYPE_CHECKING:
    from edge.rates import Bounds
    from edge.settings import Settings

models = typer.Typer(help="Look into a model file.", no_args_is_help=True)
configuration = typer.Typer(help="The settings in force.", no_args_is_help=True)
app.add_typer(models, name="model")
app.add_typer(configuration, name="config")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@app.command(epilog="example: edge cameras --json")
def cameras(as_json: AsJson = False) -> None:
    """Lists the video nodes of this machine: which of them are cameras, and why the others cannot be used."""
    from edge.camera import csi
    from edge.camera.v4l2 import nodes

    found = nodes()
    try:
        ribbon, hint = csi.cameras(), ""
    except PackageMissing as error:
        ribbon, hint = [], str(error)
    if as_json:
        print(json.dumps({"v4l2": [asdict(node) for node in found], "csi": ribbon, "csi_problem": hint}))
        return
    # Names are meant to be copied: they are folded, never cut off.
    names = (Column("camera.source", overflow="fold"), Column("or", overflow="fold"))
    table = Table(*names, "what it is", "driver", "", title=f"{len(found) + len(ribbon)} video nodes and ribbon cameras")
    for node in found:
        source = node.path if node.problem else node.stable_path or node.usb_id or node.path
        table.add_row(source, "\n".join(node.names), node.card or "?", node.driver, node.problem or "can be used")
    for number, name in enumerate(ribbon):
        table.add_row(f"csi:{number}", "", name, "libcamera", "can be used")
    console.print(table)
    if hint:
        console.print(f"cameras on the ribbon cable were not looked for: {hint}")


@app.command(epilog="example: edge bench --camera /dev/video0")
def bench(
    camera: CameraOption = None,
    model: ModelOption = None,
    frames: Annotated[int, typer.Option(min=1, max=10000, help="How many frames to measure.")] = 100,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Measures what a frame costs on this machine, stage by stage, and says what to change. Grants nothing."""
    from rich.progress import Progress

    from edge.bench import WARM_UP, measure
    from edge.line import Line
    from edge.matcher import Matcher

    settings = settings_of(config, camera, model)
    verifier, point = verifier_of(settings)
    subjects, _ = gallery_of(settings).read_for(verifier.model_id, verifier.head.size)
    line, matcher = Line(verifier, settings), Matcher(verifier.head, subjects)
    with frames_of(settings) as source, Progress(console=Console(stderr=True)) as progress:
        costs = measure(line, matcher, point.threshold, progress.track(source, total=frames + WARM_UP), settings, frames)
    if as_json:
        print(json.dumps(asdict(costs)))
        return
    table = Table("stage", "frames", "p50", "p95", "", title=f"{costs.frames} frames with {verifier.name}, {line.runtime}")
    for stage in (*costs.stages, costs.frame):
        length = round(40 * stage.p50_ms / max(costs.frame.p50_ms, 1e-9))
        table.add_row(stage.name, str(stage.count), f"{stage.p50_ms:.2f} ms", f"{stage.p95_ms:.2f} ms", "█" * length)
    console.print(table)
    console.print("frames ended with " + ", ".join(f"{outcome} {count}" for outcome, count in costs.outcomes.items()))
    console.print("searched: " + ", ".join(f"{extent} {count}" for extent, count in costs.searched.items()))
    for advice in costs.advice or ("nothing to change",):
        console.print(advice)


@app.command(epilog="example: edge events --since 2h --stats")
def events(
    since: Annotated[str, typer.Option(help="How far back: 30m, 2h, 7d, or all.")] = "1d",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Then continue with what happens from now on.")] = False,
    stats: Annotated[
        bool, typer.Option("--stats", help="Show counts, reasons by day and percentiles instead of a line for each event.")
    ] = False,
    by_hand: Annotated[
        bool, typer.Option("--by-hand", help="With --stats: also count what root, or you, ran outside the service.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Shows what facelatch wrote to the journal. With --json one object on each line; with --stats one object of all figures.

    What other users wrote under its name is not shown; a warning says that it is there.
    """
    from edge.events import SERVICE, rows, statistics
    from edge.systemd import JOURNAL_SOCKET, journal_entries

    start = _start_time(since)
    if not JOURNAL_SOCKET.exists():
        hints.print(
            "warning: no journal on this machine: events go to stderr of the command that reports them, and are kept nowhere"
        )
    entries = journal_entries(start, follow=follow and not stats, on_partial=lambda reason: hints.print(f"warning: {reason}"))
    journal_rows = rows(entries, _trusted_users(), _WarnOncePerUser())
    if stats:
        figures = statistics(journal_rows, by_hand=by_hand)
        print(json.dumps(figures)) if as_json else _print_statistics(figures)
        return
    for row in journal_rows:
        if as_json:
            print(json.dumps(row.to_json()), flush=True)
            continue
        fields = " ".join(f"{key}={value}" for key, value in row.fields.items() if key not in ("model_id", "operating_point"))
        author = "" if row.by == SERVICE else f"  (by hand: {row.by})"
        console.print(
            f"{row.at:%Y-%m-%d %H:%M:%S}  {row.event:<16} {row.message}  [{fields}]{author}", markup=False, highlight=False
        )


def _start_time(since: str) -> datetime | None:
    if since == "all":
        return None
    span = re.fullmatch(r"([0-9]{1,9})([mhd])", since)
    try:
        if span:
            begin = datetime.now().astimezone() - timedelta(**{_UNITS[span[2]]: int(span[1])})
            # The journal counts from 1970 and takes an earlier time for one in the future: nothing would be shown.
            return begin if begin.timestamp() > 0 else None
    except OverflowError:
        pass
    raise InputError(f"--since {since!r}: expected a number with m, h or d, such as 2h, or all")


def _trusted_users() -> dict[int, str]:
    """Whose entries are shown, user id to name: the caller's, root's, who could write anything anyway, and the service's. If two of them
    have the same id, the later one counts."""
    from edge.events import SERVICE

    names = {os.getuid(): _user(os.getuid()), 0: "root"}
    with suppress(KeyError):
        names[pwd.getpwnam("facelatch").pw_uid] = SERVICE
    return names


class _WarnOncePerUser:
    """Warns, once for each user, that entries are not shown."""

    def __init__(self) -> None:
        self._warned_uids: set[int | None] = set()

    def __call__(self, uid: int | None) -> None:
        if uid in self._warned_uids:
            return
        self._warned_uids.add(uid)
        writer, hint = ("somebody unknown", "") if uid is None else (_user(uid), f": journalctl -t facelatch _UID={uid}")
        text = f"warning: {writer} wrote entries under facelatch's name; they are neither shown nor counted{hint}"
        Console(stderr=True, soft_wrap=True).print(text, markup=False, highlight=False)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _print_statistics(figures: dict[str, Any]) -> None:
    table = Table("event", "count", title="events")
    for event, count in figures["events"].items():
        table.add_row(event, str(count))
    console.print(table)
    reasons = sorted({key for counted in figures["days"].values() for key in counted})
    table = Table("day", *reasons, title="decisions by day")
    for day, counted in figures["days"].items():
        table.add_row(day, *(str(counted.get(key, 0)) for key in reasons))
    console.print(table)
    for key, meaning in (
        ("latency_ms", "milliseconds from an attempt's first judged frame to its decision"),
        ("cost_ms", "milliseconds of a decision's last frame"),
        ("frames", "frames to a decision"),
    ):
        if figures[key]:
            console.print(", ".join(f"{name} {value:g}" for name, value in figures[key].items()) + f": {meaning}")
    if figures["not_counted"]:
        console.print(f"{figures['not_counted']} events of commands run by hand are not counted here; --by-hand counts them")


@models.command("show", epilog="example: edge model show model.tflite")
def show_model(
    file: Annotated[Path, typer.Argument(help="A model file, or the name of an included model: accurate or compact.")],
    as_json: AsJson = False,
) -> None:
    """Verifies a model file and shows what it carries."""
    from edge.contract.modelfile import read_model
    from edge.models import model_path

    verifier = read_model(model_path(str(file)))
    if as_json:
        print(json.dumps(verifier.record))
        return
    console.print(f"{file}: model {verifier.name}, {verifier.model_id[:12]}, {len(verifier.tower.flatbuffer)} bytes of network")
    console.print(
        f"chip {verifier.chip.side_px} px ({verifier.chip.detector}), {'aligned, ' if verifier.aligner else ''}"
        f"input {verifier.tower.input.dtype}, output {verifier.tower.output.dtype} [{verifier.head.size}], cohort of {len(verifier.cohort)}"
    )
    if doubt := verifier.head.doubt:
        console.print(f"a probe is looked at twice where its best score is from {doubt[0]:.3f} to below {doubt[1]:.3f}")
    counts = sorted({(point.impostor_trials, point.genuine_trials) for point in verifier.operating_points})
    measured = "; ".join(f"of {impostor} impostor and {genuine} genuine comparisons" for impostor, genuine in counts)
    caption = f"{measured}; intervals as if each were independent, so too narrow"
    table = Table("operating point", "threshold", "FMR (95 %)", "FNMR (95 %)", caption=caption)
    for point in verifier.operating_points:
        table.add_row(
            point.name,
            f"{point.threshold:.6f}",
            f"{point.fmr:.2g} ({point.fmr_interval[0]:.2g}-{point.fmr_interval[1]:.2g})",
            f"{point.fnmr:.2%} ({point.fnmr_interval[0]:.2%}-{point.fnmr_interval[1]:.2%})",
        )
    console.print(table)


@configuration.command("show", epilog="example: edge config show > edge.toml")
def show_config(config: Config = None, as_json: AsJson = False) -> None:
    """Prints every setting in force with its meaning, as TOML."""
    from edge.settings import as_toml

    settings = settings_of(config, None, None)
    if as_json:
        print(json.dumps(settings.model_dump(mode="json") | {"expected": _expected(settings)}))
        return
    print(as_toml(settings))
    for key, value in _expected(settings).items():
        print(f"# {key}: {value}")


@configuration.command("docs", hidden=True, epilog="example: edge config docs > docs/configuration.md")
def document_config() -> None:
    """Prints docs/configuration.md: every setting with its default, range and meaning."""
    from edge.manual import as_markdown

    print(as_markdown(), end="")


def _expected(settings: Settings) -> dict[str, str]:
    """What the policy makes of the model's rates, in words; or why it is unknown, if the model cannot be read."""
    try:
        _, point = verifier_of(settings)
    except FacelatchError as error:
        return {"expected rates": f"unknown: {error}"}
    from edge.rates import far, far_until_disabled, frr

    policy, anchors = settings.policy, settings.enrolment.anchors
    false_accept, false_reject = far(point, policy), frr(point, policy)
    worst_case, until_disabled = far(point, policy, templates=anchors), far_until_disabled(point, policy, anchors)
    k_of_n = f"{policy.matches} of {policy.frames} frames at {point.name}"

    def in_words(bounds: Bounds) -> str:
        return (
            f"{bounds.independent:.2g} if frames are independent, {bounds.alike:.2g} if all are alike, "
            f"{bounds.most:.2g} at most however they depend"
        )

    return {
        "FAR of one attempt, one subject enrolled": f"{in_words(false_accept)} ({k_of_n}, FMR {point.fmr:.2g} of {point.impostor_trials})",
        f"FAR of one attempt, at most, with {anchors} templates of that subject": in_words(worst_case),
        "FRR of one attempt": f"{in_words(false_reject)} (FNMR {point.fnmr:.2g} of {point.genuine_trials})",
        f"FAR until disabled, at most, with {anchors} templates": f"{in_words(until_disabled)} ({policy.disable_failures} attempts)",
    }
