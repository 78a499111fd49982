"""Imports a folder or archive with a folder for each person, such as LFW as downloaded, as the negatives of a data set."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import BinaryIO

from rich.console import Console
from rich.progress import Progress

from edge.contract.errors import InputError, StorageError
from trainer.files import write_atomically
from trainer.layout import PICTURE_SUFFIXES, ROLES, SEPARATOR, Layout, check_identity, pictures_below, real_folder, real_name


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """The result of an import: people, pictures written and pictures already present, those left out with the reason, and the names that
    several folders share, which were taken for one person, with these folders."""

    people: int
    pictures: int
    present: int
    left_out: list[tuple[str, str]]
    several: dict[str, list[str]]


SURELY_SAME = 0.6


@dataclass(frozen=True, slots=True)
class Renaming:
    """The names that a source's people get in a data set: their alias if they have one, otherwise their own name after `prefix`.

    `unsure` are people who may or may not be someone of another set. They are left out, since either name could be wrong.
    """

    prefix: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)
    unsure: frozenset[str] = frozenset()

    def of(self, person: str) -> str:
        """The person's name in the data set."""
        return self.aliases.get(person) or self.prefix + person


def read_renaming(prefix: str, same_as: Path | None) -> Renaming:
    """The renaming from a table of people who are in two sets. Its lines are set, identity, name in the other set, and cosine of the two
    mean embeddings, separated by tabs; from a cosine of `SURELY_SAME` on they are taken for one person.

    Raises:
        InputError: the table, or a line of it, cannot be read.
    """
    if same_as is None:
        return Renaming(prefix)
    aliases: dict[str, str] = {}
    unsure: set[str] = set()
    try:
        lines = same_as.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{same_as}: cannot read: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            _, person, name, cosine = line.split("\t")
            sure = float(cosine) >= SURELY_SAME
        except ValueError as error:
            raise InputError(f"{same_as}, line {number}: expected set, identity, name and cosine between tabs") from error
        if not sure or aliases.setdefault(person, check_identity(name)) != name:
            unsure.add(person)
    return Renaming(prefix, aliases, frozenset(unsure - set(aliases)))


def import_people(source: Path, folder: Path, layout: Layout, renaming: Renaming | None = None) -> ImportSummary:
    """Copies every picture of `source`, one folder for each person, into the data set `folder`.

    `source` is a folder with person folders at any depth, or a .tar or .tgz of one. People captured by `trainer capture` are left out:
    nobody may be both the subject and a negative. Pictures already there are kept, so that an interrupted import continues.

    Raises:
        InputError: `source` is missing, unreadable, damaged or without person folders.
        StorageError: the data set cannot be written.
    """
    renaming = renaming or Renaming()
    captured = captured_subjects(folder)
    people: set[str] = set()
    pictures = present = 0
    left_out: list[tuple[str, str]] = []
    folders: dict[str, dict[str, set[str]]] = {}  # by folder name: each path of that name, with its pictures' names
    with _members(source) as members:
        for person_folder, name, reader in members:
            person = person_folder.name
            if {person, renaming.of(person)} & captured:
                left_out.append((f"{person}/{name}", "the person is a captured subject"))
                continue
            if person in renaming.unsure:
                left_out.append((f"{person}/{name}", "may be a person of another set"))
                continue
            person = check_identity(renaming.of(person))
            target = real_folder(folder, layout, "negative", person) / real_name(layout, person, name)
            people.add(person)
            namesakes = folders.setdefault(person_folder.name, {})
            if any(name in names for other, names in namesakes.items() if other != str(person_folder)):
                left_out.append((f"{person_folder}/{name}", "another folder of this name has a picture of this name"))
                continue
            namesakes.setdefault(str(person_folder), set()).add(name)
            picture = _read(reader, f"{source}: {person}/{name}")
            if not target.exists():
                write_atomically(target, picture, lasting=False)
                pictures += 1
            elif _holds(target, picture):
                present += 1
            else:
                left_out.append(
                    (
                        f"{person_folder}/{name}",
                        "the data set has another picture of that person and name; give it another name",
                    )
                )
    if not people and not left_out:
        raise InputError(f"{source}: no folders of pictures, one folder a person; point at the folder or .tgz as downloaded")
    several = {name: sorted(namesakes) for name, namesakes in folders.items() if len(namesakes) > 1}
    return ImportSummary(len(people), pictures, present, left_out, several)


def captured_subjects(folder: Path) -> set[str]:
    """The people that `trainer capture` has added to this data set."""
    six = {path.name.partition(SEPARATOR)[0] for role in ROLES[:2] for path in (folder / f"{role}_real").glob(f"*{SEPARATOR}*")}
    return six | {path.parent.name for path in folder.glob("pictures/*/captured")}


@contextmanager
def _members(source: Path) -> Iterator[Iterator[tuple[PurePath, str, BinaryIO]]]:
    """For each picture its folder, whose last part is the person's name, its file name, and a reader."""
    if source.is_dir():
        nested = [path for path in pictures_below(source) if path.parent != source]
        with Progress(console=Console(stderr=True)) as bar:
            yield _from_files(nested, bar)
    elif source.is_file():
        try:
            with (
                source.open("rb") as file,
                tarfile.open(fileobj=file) as archive,
                Progress(console=Console(stderr=True)) as bar,
            ):
                yield _from_archive(archive, file, source, bar)
        except StorageError:
            raise
        except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise InputError(f"{source}: not a readable .tar or .tgz ({error}); download it again") from error
        except OSError as error:
            raise InputError(f"{source}: cannot read: {error}") from error
    else:
        raise InputError(f"{source}: no such file or folder")


def _from_files(files: list[Path], bar: Progress) -> Iterator[tuple[PurePath, str, BinaryIO]]:
    for path in bar.track(files, description="importing"):
        try:
            with path.open("rb") as reader:
                yield path.parent, path.name, reader
        except OSError as error:
            raise InputError(f"{path}: cannot read: {error.strerror}") from error


def _from_archive(
    archive: tarfile.TarFile, file: BinaryIO, source: Path, bar: Progress
) -> Iterator[tuple[PurePath, str, BinaryIO]]:
    # Read once, front to back: listing the members first would decompress a .tgz twice.
    size = source.stat().st_size
    task = bar.add_task("importing", total=size)
    for member in archive:
        bar.update(task, completed=file.tell())
        # Only the last two parts of a member's name are used, so no name in an archive can leave the data set.
        path = PurePosixPath(member.name)
        if not member.isfile() or len(path.parts) < 2 or path.suffix.lower() not in PICTURE_SUFFIXES:
            continue
        reader = archive.extractfile(member)
        if reader is None:
            raise InputError(f"{source}: {member.name} cannot be read")
        yield path.parent, path.name, reader  # type: ignore[misc]
    bar.update(task, completed=size)


def _holds(path: Path, data: bytes) -> bool:
    """Whether a file holds `data`."""
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError as error:
        raise StorageError(f"{path}: cannot read: {error.strerror or error}") from error


def _read(reader: BinaryIO, name: str) -> bytes:
    try:
        return reader.read()
    except OSError as error:
        raise InputError(f"{name}: cannot read: {error}") from error
