"""The two folder layouts of a data set, and which identity a picture belongs to. Reads file names, never pixels.

    identities    pictures/<identity>/<file>          chips/<identity>/<file>.png
    six-folders   anchor_real/<identity>__<file>      anchor_grayed/<identity>__<file>.png
                  positive_real/...                   positive_grayed/...
                  negative_real/...                   negative_grayed/...

The six folders are those of the classic Siamese recipe: anchors and positives show the captured subject, negatives others.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from edge.contract.errors import InputError, NameRejected

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".pgm", ".ppm", ".tif", ".tiff"})
SEPARATOR = "__"
ROLES = ("anchor", "positive", "negative")
_IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.'-]{0,99}")

_GREYED = tuple(f"{role}_grayed" for role in ROLES)
_CAPTURED = re.compile(rf"(?:.*{SEPARATOR})?(?:{'|'.join(ROLES)})-[0-9]+")


class Layout(StrEnum):
    """How a data set's folder is arranged."""

    IDENTITIES = "identities"
    SIX_FOLDERS = "six-folders"


@dataclass(frozen=True, slots=True)
class Picture:
    """One source picture: its `path`, the person in it, and the path of its chip relative to the data set's folder."""

    path: Path
    identity: str
    chip: Path


def check_identity(name: str) -> str:
    """Returns the name if it is a safe folder name, one that cannot lead out of the data set.

    Raises:
        NameRejected: it is not.
    """
    if not _IDENTITY.fullmatch(name) or SEPARATOR in name or name.startswith(".") or ".." in name:
        raise NameRejected(f"name {name!r}: use letters, digits, '.', '-' and single '_', at most 100, first a letter or digit")
    return name


def is_captured(stem: str) -> bool:
    """Whether a picture has a name from `trainer capture`, which counts from 0 in each data set, so that names recur across cameras."""
    return _CAPTURED.fullmatch(stem) is not None


def photograph_of(chip: str) -> str:
    """The name of the picture that a chip was cut from, without suffix, and without the person's name that the six folders prefix."""
    path = Path(chip)
    return path.stem.partition(SEPARATOR)[2] if path.parts[0] in _GREYED else path.stem


def pictures_of(folder: Path, layout: Layout) -> Iterator[Picture]:
    """The source pictures of a data set in a fixed order.

    Raises:
        InputError: the folder holds no pictures in this layout.
    """
    any_found = False
    for root, chips in _source_folders(folder, layout):
        for path in pictures_below(root):
            relative = path.relative_to(root)
            if layout is Layout.SIX_FOLDERS:
                identity, _, rest = path.stem.partition(SEPARATOR)
                if not rest:
                    raise InputError(f"{path}: name it PERSON{SEPARATOR}NUMBER{path.suffix}, so that its person is known")
                any_found = True
                yield Picture(path, identity, chips / f"{path.stem}.png")
            elif len(relative.parts) == 2:
                any_found = True
                yield Picture(path, relative.parts[0], chips / relative.with_suffix(".png"))
    if not any_found:
        expected = "pictures/<person>/" if layout is Layout.IDENTITIES else "anchor_real/, positive_real/ and negative_real/"
        raise InputError(f"{folder}: no pictures in {expected}; fill it with `trainer capture` or `trainer import lfw`")


def misplaced(folder: Path, layout: Layout) -> list[Path]:
    """The picture files below `pictures/` that are not directly in a person's folder. Always empty for the six folders."""
    root = folder / "pictures"
    paths = pictures_below(root) if layout is Layout.IDENTITIES else []
    return [path for path in paths if len(path.relative_to(root).parts) != 2]


def pictures_below(root: Path) -> list[Path]:
    """All picture files at any depth below a folder, sorted; empty if there is no such folder.

    Raises:
        InputError: one of the folders cannot be read; otherwise its person would be missing without notice.
    """

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot read: {error.strerror}") from error

    if not root.is_dir():
        return []
    files = (Path(folder) / name for folder, _, names in os.walk(root, onerror=refuse) for name in names)
    return sorted(path for path in files if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())


def real_folder(folder: Path, layout: Layout, role: str, identity: str) -> Path:
    """Where new pictures of `identity` in `role` (anchor, positive or negative) are written."""
    return folder / "pictures" / identity if layout is Layout.IDENTITIES else folder / f"{role}_real"


def real_name(layout: Layout, identity: str, name: str) -> str:
    """The file name of a new picture; in the six folders it includes the person."""
    return name if layout is Layout.IDENTITIES else f"{identity}{SEPARATOR}{name}"


def layout_of(folder: Path) -> Layout:
    """The layout that a folder has.

    Raises:
        InputError: it is not a folder, or has neither layout or both.
    """
    if not folder.is_dir():
        problem = "not a folder" if folder.exists() else "no such folder"
        raise InputError(f"{folder}: {problem}; make one with `trainer capture` or `trainer import lfw`")
    six = any((folder / f"{role}_real").is_dir() for role in ROLES)
    plain = (folder / "pictures").is_dir()
    if six == plain:
        problem = "both layouts at once" if six else "neither pictures/ nor anchor_real/, positive_real/, negative_real/"
        raise InputError(f"{folder}: {problem}; fill an empty folder with `trainer capture` or `trainer import lfw`")
    return Layout.SIX_FOLDERS if six else Layout.IDENTITIES


def chosen_layout(folder: Path, requested: Layout | None) -> Layout:
    """The layout for new pictures: that of the folder if it has one, else the one asked for, else identity folders.

    Raises:
        InputError: the folder has another layout than the one asked for.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return requested or Layout.IDENTITIES
    existing = layout_of(folder)
    if requested not in (None, existing):
        raise InputError(
            f"{folder}: has the layout {existing}, but {requested} was asked for; leave --layout out, or choose another --data"
        )
    return existing


def _source_folders(folder: Path, layout: Layout) -> list[tuple[Path, Path]]:
    if layout is Layout.IDENTITIES:
        return [(folder / "pictures", Path("chips"))]
    return [(folder / f"{role}_real", Path(greyed)) for role, greyed in zip(ROLES, _GREYED, strict=True)]
