"""Commands about stored templates: gallery-key, and the rewriting that `edge migrate --rewrite` does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from edge.cli.shared import AsJson, Config, app, console, gallery_of, settings_of
from edge.contract.errors import ExitCode, GalleryError, InputError, StorageError

if TYPE_CHECKING:
    from edge.gallery import Gallery

keys = typer.Typer(help="The key that templates are encrypted with.", no_args_is_help=True)
app.add_typer(keys, name="gallery-key")


@keys.command("new", epilog="example: edge gallery-key new /media/stick/gallery.key")
def new(
    path: Annotated[
        Path,
        typer.Argument(help="The file to make, which must not exist; `-` prints the key, for systemd-creds.", allow_dash=True),
    ],
    as_json: AsJson = False,
) -> None:
    """Makes a key. Keep a copy elsewhere: without the key everybody must be enrolled again."""
    from edge.keys import new_key, write_new_key
    from edge.settings import state_folder

    if str(path) == "-":
        if as_json:
            raise InputError("- and --json: give only one of them; with - the printed line is the key")
        print(new_key(), end="")
        return
    key = write_new_key(path, state_folder())
    if as_json:
        print(json.dumps({"path": str(path), "key": key.id}))
        return
    console.print(f'{path}: key {key.id}; in edge.toml: [gallery] encrypt = "file", key_file = "{path.absolute()}"')
    console.print("keep a copy elsewhere; then `edge migrate --rewrite` encrypts who is enrolled already")


@keys.command("show", epilog="example: edge gallery-key show --json")
def show(config: Config = None, as_json: AsJson = False) -> None:
    """Shows which key is in force and whose templates are encrypted with it. Exit code 0: all are as the settings ask; 6: not all."""
    from edge.keys import Keys
    from edge.settings import state_folder

    settings = settings_of(config, None, None)
    gallery, key = gallery_of(settings), Keys(settings.gallery, state_folder()).current()
    current_id = key and key.id
    key_ids: dict[str, str | None] = {}
    for name in gallery.names():
        try:
            key_ids[name] = gallery.key_id(name) or "none"
        except (GalleryError, StorageError):
            key_ids[name] = None
    other = [name for name, key_id in key_ids.items() if key_id != (current_id or "none")]
    if as_json:
        print(json.dumps({"encrypt": settings.gallery.encrypt.value, "key": current_id, "subjects": key_ids}))
    else:
        encryption = f"key {current_id} of {key.source}" if key else "no encryption"
        console.print(f"in force: {encryption}; {len(key_ids) - len(other)} of {len(key_ids)} subjects are kept so")
        for name in other:
            console.print(f"  {name}: {'damaged' if key_ids[name] is None else f'key {key_ids[name]}'}")
        if other:
            console.print("`edge migrate --rewrite` writes them anew as the settings ask")
    raise typer.Exit(ExitCode.GALLERY if other else ExitCode.OK)


def rewrite_all(gallery: Gallery, *, as_json: bool) -> ExitCode:
    """Rewrites every subject's file as the settings ask, goes on after one that cannot be rewritten, and prints the result.

    Raises:
        GalleryKeyError: the key in force is missing or unusable; nothing was changed.
    """
    from rich.progress import Progress

    gallery.check_key()
    rewritten: list[str] = []
    refused: list[GalleryError | StorageError] = []
    with Progress(console=Console(stderr=True)) as progress:
        for name in progress.track(gallery.names(), description="writing templates anew"):
            try:
                if gallery.rewrite(name):
                    rewritten.append(name)
            except InputError:
                continue  # removed since its name was read
            except (GalleryError, StorageError) as error:
                refused.append(error)
    _print_result(rewritten, refused, as_json=as_json)
    return ExitCode.OK if not refused else refused[0].exit_code


def _print_result(rewritten: list[str], refused: list[GalleryError | StorageError], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"rewritten": rewritten, "refused": [str(error) for error in refused]}))
        return
    console.print(f"{len(rewritten)} written anew, {len(refused)} left as they were for an error; all others were so already")
    for error in refused:
        console.print(f"  {error}")
    if rewritten:
        console.print("what was there is written over; a flash card may keep old blocks, and a backup keeps what it has")
