"""Commands about enrolled people: enroll, list, remove, takeout, migrate."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge.bus.client import Remote
from edge.cli.shared import (
    AsJson,
    CameraOption,
    Config,
    ModelOption,
    Name,
    app,
    ask_daemon,
    console,
    frames_of,
    gallery_of,
    settings_of,
    station_of,
)
from edge.contract.errors import BusRefused, CameraError, EnrolmentFailed, ExitCode, GalleryKeyError, InputError, StorageError

if TYPE_CHECKING:
    from edge.cli.guide import Show
    from edge.settings import Settings
    from edge.station import Manner


@app.command("enroll", epilog="example: edge enroll ada --camera /dev/video0")
def enroll(
    name: Name,
    camera: CameraOption = None,
    pictures: Annotated[
        Path | None, typer.Option("--from", help="Enrol from a folder of pictures or a video instead of a camera.")
    ] = None,
    model: ModelOption = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the templates of a person who is enrolled already.")
    ] = False,
    add: Annotated[
        bool,
        typer.Option("--add", help="Add another look of a person who is enrolled already, such as with glasses or a beard."),
    ] = False,
    consent: Annotated[
        bool, typer.Option("--consent", help="The person has agreed already: say what is kept, but do not ask.")
    ] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Enrols the person in front of the camera. Keeps templates, no picture."""
    from edge.cli.consent import ask_consent, consent_words
    from edge.cli.guide import guide
    from edge.gallery import Gallery, check_name
    from edge.settings import SERVICE_STATE
    from edge.station import Manner

    if camera and pictures:
        raise InputError("--camera and --from: give only one of them")
    if replace and add:
        raise InputError("--replace and --add: give only one of them")
    manner = Manner.ADD if add else Manner.REPLACE if replace else Manner.NEW
    locally = bool(config or camera or pictures or model) or ask_daemon(lambda daemon: daemon.state()) is None
    # Absolute, because a Path drops "./", without which a folder's name may be that of a camera: video0.
    settings = settings_of(config, str(pictures.absolute()) if pictures else camera, model)

    def obtain_consent(state: Path) -> None:
        ask_consent(consent_words(settings, check_name(name), Gallery(state).folder), name, already_given=consent)

    with guide(f"enrolling {name}: stand where you will stand later") as show:
        report = None
        if not locally:
            obtain_consent(SERVICE_STATE)
            report = ask_daemon(lambda daemon: _enrol_by_daemon(daemon, name, manner, show))
        if report is None:
            report = _enrol_locally(settings, name, manner, show, obtain_consent)
    if as_json:
        print(json.dumps(report))
    else:
        poses = ", ".join(f"{pose} {count}" for pose, count in report["poses"].items())
        new = sum(report["poses"].values())
        among = f", {new} of them new" if new < report["templates"] else ""
        console.print(f"enrolled {name} with {report['templates']} templates{among} ({poses}); {report['check']}")


@app.command("list", epilog="example: edge list --json")
def list_subjects(config: Config = None, as_json: AsJson = False) -> None:
    """Lists who is enrolled, including those whose templates cannot be read."""
    if os.geteuid() != 0 and (reply := ask_daemon(lambda daemon: daemon.call("ListEnrolled"))) is not None:
        # Only the service can read its gallery. It gives names only, and only to callers whom polkit allows.
        print(json.dumps({"subjects": [{"subject": name} for name in reply[0]]}) if as_json else "\n".join(reply[0]))
        return
    from rich.table import Table

    gallery = gallery_of(settings_of(config, None, None))
    subjects: list[dict[str, Any]] = []
    for name in gallery.names():
        try:
            subject, key = gallery.read(name), gallery.key_id(name)
        except (InputError, StorageError, ValueError) as error:
            subjects.append({"subject": name, "error": str(error)})
            continue
        created = datetime.fromtimestamp(subject.created).astimezone().isoformat()
        subjects.append(
            {
                "subject": name,
                "templates": len(subject.templates),
                "enrolled": created,
                "model_id": subject.model_id,
                "key": key,
            }
        )
    if as_json:
        print(json.dumps({"subjects": subjects}))
        return
    table = Table(
        "subject", "templates", "enrolled", "model", "encrypted with", title=f"{gallery.folder}: {len(subjects)} enrolled"
    )
    for entry in subjects:
        if "error" in entry:
            table.add_row(entry["subject"], "-", entry["error"], "-", "-")
        else:
            table.add_row(
                entry["subject"], str(entry["templates"]), entry["enrolled"][:16], entry["model_id"][:12], entry["key"] or "-"
            )
    console.print(table)


@app.command(epilog="example: edge remove ada")
def remove(
    name: Name,
    purge: Annotated[
        bool, typer.Option("--purge", help="Overwrite the templates first, and say where else the name is kept.")
    ] = False,
) -> None:
    """Removes a subject's templates. A running daemon notices within a second."""
    # The bus does not offer overwriting and need not: root, who may ask for it, can do it here.
    if purge or ask_daemon(lambda daemon: daemon.call("Delete", "s", name)) is None:
        from edge.gallery import Gallery
        from edge.journal import Journal
        from edge.lockout import Lockout
        from edge.settings import state_folder
        from edge.station import remove_subject

        remove_subject(Gallery(state_folder()), Lockout(state_folder()), Journal(), name, overwrite=purge)
    console.print(f"removed {name}")
    if purge:
        console.print(
            f"the journal still has the name in its entries, until it is rotated away: `journalctl -t facelatch FACELATCH_SUBJECT={name}`, "
            "`journalctl --vacuum-time=`. A flash card may keep old blocks: only an encrypted disk keeps those from being read"
        )


@app.command(epilog="example: edge takeout ada --out ada.json")
def takeout(
    name: Name,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write, readable by its owner alone.")],
    config: Config = None,
) -> None:
    """Writes the templates of a person, and what is kept with them, to a JSON file: what she or he may ask for."""
    from edge.gallery import check_name
    from edge.lockout import Lockout
    from edge.settings import state_folder
    from edge.store import write_new

    subject = gallery_of(settings_of(config, None, None)).read(check_name(name))
    failures = Lockout(state_folder()).everyone().get(name, 0)
    record = {
        "subject": subject.name,
        "enrolled": datetime.fromtimestamp(subject.created).astimezone().isoformat(),
        "model_id": subject.model_id,
        "failures_since_the_last_accept": failures,
        "templates": subject.templates.tolist(),
        "what_templates_are": "numbers that a neural network made of pictures of the face; the pictures were not kept",
    }
    write_new(out, json.dumps(record, indent=1) + "\n")
    console.print(f"{out}: {len(subject.templates)} templates of {name}; events with the name are in `edge events --since all`")


@app.command(epilog="example: edge migrate --model new.tflite, edge migrate --rewrite")
def migrate(
    model: ModelOption = None,
    rewrite: Annotated[
        bool,
        typer.Option(
            "--rewrite", help="Write all templates again as gallery.encrypt asks: encrypted, in the clear, or with another key."
        ),
    ] = False,
    old_key: Annotated[
        Path | None, typer.Option("--old-key", help="The key file with which templates may still be encrypted.")
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Says who must be enrolled again before a model can be used, and changes nothing. Exit code 0: nobody; 6: somebody."""
    from edge.cli.keeping import rewrite_all
    from edge.contract.modelfile import read_model
    from edge.models import model_path

    settings = settings_of(config, None, model)
    if old_key and not rewrite:
        raise InputError("--old-key: only with --rewrite")
    if rewrite:
        raise typer.Exit(rewrite_all(gallery_of(settings, old_key), as_json=as_json))
    verifier = read_model(model_path(settings.model.path))
    subjects, refused = gallery_of(settings).read_for(verifier.model_id, verifier.head.size)
    to_re_enrol = [error for error in refused if not isinstance(error, GalleryKeyError)]
    unopened = [error for error in refused if isinstance(error, GalleryKeyError)]
    if as_json:
        fields = {"ready": [subject.name for subject in subjects], "again": [str(error) for error in to_re_enrol]}
        print(json.dumps({"model_id": verifier.model_id, **fields, "unopened": [str(error) for error in unopened]}))
    else:
        console.print(
            f"{verifier.name}, {verifier.model_id[:12]}: {len(subjects)} can be recognised, {len(to_re_enrol)} must come again"
        )
        for error in refused:
            console.print(f"  {error}")
        if to_re_enrol:
            console.print(
                "their templates stay as they are: `edge enroll NAME --replace` makes new ones, another model's are never used"
            )
    raise typer.Exit(ExitCode.GALLERY if refused else ExitCode.OK)


def _enrol_locally(
    settings: Settings, name: str, manner: Manner, show: Show, obtain_consent: Callable[[Path], None]
) -> dict[str, Any]:
    from edge.journal import Journal
    from edge.settings import state_folder

    station = station_of(settings, Journal())
    obtain_consent(state_folder())
    with frames_of(settings) as frames:
        enrolled = station.enrol(name, frames, show, manner)
    enrolment = enrolled.enrolment
    report = {"subject": name, "templates": enrolled.templates} | _check_fields(
        enrolment.recognised, enrolment.checked, station.point_of(name).name
    )
    return report | {
        "poses": {pose.value: count for pose, count in enrolment.by_pose.items()},
        "model_id": station.model.model_id,
    }


async def _enrol_by_daemon(daemon: Remote, name: str, manner: Manner, show: Show) -> dict[str, Any]:
    from edge.bus.details import unpack

    def on_progress(result: str, details: dict[str, Any]) -> None:
        show(unpack(details))

    status = await daemon.enrol(name, manner.name.lower(), on_progress)
    if status["result"] != "enrolled":
        kind = {"failed": EnrolmentFailed, "disconnected": CameraError}.get(status["result"], BusRefused)
        raise kind(status.get("text", "the daemon failed"))
    state = await daemon.state()
    report = {"subject": name, "templates": status["have"], "poses": status.get("templates", {}), "model_id": state["model_id"]}
    point = status.get("operating_point") or state["operating_point"]  # a daemon from before an upgrade sends the device's only
    return report | _check_fields(status["recognised"], status["checked"], point)


def _check_fields(recognised: int, checked: int, operating_point: str) -> dict[str, Any]:
    """How the new templates do on the frames that were not kept, with the uncertainty that so few frames of one session leave."""
    from edge.interval import small_rate

    fnmr = small_rate(checked - recognised, checked)
    check = (
        f"of {checked} other frames of this session they miss {fnmr.errors} at {operating_point}: FNMR {fnmr.value:.0%}, "
        f"95 % {fnmr.low:.0%}-{fnmr.high:.0%} if frames were independent. They are alike; another day is harder"
    )
    interval = [round(fnmr.low, 4), round(fnmr.high, 4)]
    return {"recognised": recognised, "checked": checked, "fnmr": fnmr.value, "fnmr_interval": interval, "check": check}
