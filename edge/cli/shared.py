"""What all commands share: the application, options that several take, settings with options applied.

What loads a camera, a model or the settings is imported where it is used, here and in the commands: otherwise a command that only asks
the daemon would spend most of its time on imports, while a person at a login waits.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console

from edge.bus.client import Remote, ask

if TYPE_CHECKING:
    from edge.camera import Frame
    from edge.contract.modelfile import ModelFile, OperatingPoint
    from edge.gallery import Gallery
    from edge.journal import Journal
    from edge.settings import Settings
    from edge.station import Station

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
# What is printed names files and keys: "[gallery]" is not markup, and ":key:" not an emoji.
console = Console(soft_wrap=True, markup=False, emoji=False)
hints = Console(stderr=True, soft_wrap=True, markup=False, emoji=False)

Answer = TypeVar("Answer")

Config = Annotated[Path | None, typer.Option("--config", help="The settings file, if not /etc/facelatch/edge.toml.")]
CameraOption = Annotated[
    str | None,
    typer.Option("--camera", help="The camera or recording, named as in camera.source, if not that of the settings."),
]
ModelOption = Annotated[Path | None, typer.Option("--model", help="The model file, if not that of the settings.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Name = Annotated[str, typer.Argument(help="The subject's name: a-z, 0-9, '_', '.', '-', at most 32 characters.")]


def settings_of(config: Path | None, camera: str | None, model: Path | None) -> Settings:
    from edge.settings import load_settings

    settings = load_settings(config)
    if camera is not None:
        settings = settings.model_copy(update={"camera": settings.camera.model_copy(update={"source": camera})})
    if model is not None:
        settings = settings.model_copy(update={"model": settings.model.model_copy(update={"path": str(model)})})
    return settings


def verifier_of(settings: Settings) -> tuple[ModelFile, OperatingPoint]:
    """The model that the settings name, verified, and its operating point. Raises ModelError as `read_model` and `operating_point` do."""
    from edge.contract.modelfile import read_model
    from edge.models import model_path

    verifier, policy = read_model(model_path(settings.model.path)), settings.policy
    for fmr in policy.subject_fmr.values():
        verifier.operating_point(fmr, allow_failed_gate=policy.allow_failed_gate)
    return verifier, verifier.operating_point(policy.target_fmr, allow_failed_gate=policy.allow_failed_gate)


def station_of(settings: Settings, journal: Journal) -> Station:
    """The station that the settings describe, loaded. Raises ModelError as `verifier_of` does."""
    from edge.lockout import Lockout
    from edge.settings import state_folder
    from edge.station import Station

    verifier, point = verifier_of(settings)
    return Station(settings, verifier, point, gallery_of(settings), Lockout(state_folder()), journal)


def gallery_of(settings: Settings, old_key: Path | None = None) -> Gallery:
    """This device's gallery, with the key that the settings name, and an old one that templates may still be encrypted with."""
    from edge.gallery import Gallery
    from edge.keys import Keys
    from edge.settings import state_folder

    return Gallery(state_folder(), Keys(settings.gallery, state_folder(), old_key))


def ask_daemon(work: Callable[[Remote], Awaitable[Answer]]) -> Answer | None:
    """What the running daemon answers; None if the command must do the work itself, as it always does with its own $STATE_DIRECTORY."""
    return None if os.environ.get("STATE_DIRECTORY") else ask(work)


@contextmanager
def frames_of(settings: Settings) -> Iterator[Iterator[Frame | None]]:
    """The camera's frames. It is opened only for the first one: nobody who is refused without a look is looked at."""
    with closing(_frames(settings)) as frames:
        yield frames


def _frames(settings: Settings) -> Generator[Frame | None, None, None]:
    from edge.camera import open_camera

    camera = open_camera(settings.camera)
    try:
        yield from camera.frames()
    finally:
        camera.close()
