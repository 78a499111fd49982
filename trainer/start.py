"""What a training starts from: dlib's weights, a run or a model file. Checked before anything is written to the run folder, because a
folder takes no other recipe than the one it was begun with."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import InputError
from edge.contract.modelfile import read_model
from edge.contract.spec import ChipSpec
from trainer.augment import middle
from trainer.backend import keras
from trainer.dataset import FURTHER_COHORT, Faces, load_faces
from trainer.dlibfile import find_weights, read_dlib
from trainer.networks import build_tower
from trainer.prune import prune, shapes
from trainer.resnet import SIDE_PX, build_resnet, load_dlib
from trainer.run import RECORD, read_run
from trainer.settings import Network, Recipe, TowerSettings, chip_of
from trainer.split import read_split, split_of_file
from trainer.teach import load_with_teaching
from trainer.unquantised import tower_settings, verifier_of
from trainer.verifier import Verifier, load_verifier


@dataclass(frozen=True)
class Start:
    """A finished training that another continues from: a run folder or a model file."""

    path: Path

    @property
    def name(self) -> str:
        """The name that records and messages use."""
        return self.path.name

    @cached_property
    def verifier(self) -> Verifier:
        """Tower, head and aligner in float. Raises InputError if they cannot be loaded."""
        return load_verifier(self.path) if self.path.is_dir() else verifier_of(self.path)

    def tower(self) -> TowerSettings:
        """The `tower` table of its recipe."""
        if self.path.is_dir():
            return TowerSettings.model_validate(read_run(self.path)["settings"]["tower"])
        return tower_settings(read_model(self.path))

    def aligner_record(self) -> dict[str, Any]:
        """The record of its aligner, empty if it has none; a model file does not have the aligner's measured errors."""
        if self.path.is_dir():
            return read_run(self.path).get("aligner", {})
        return {"spec": self.verifier.aligner.spec.to_json()} if self.verifier.aligner else {}

    def chip(self) -> ChipSpec:
        """The specification of the chips that it was trained on."""
        return ChipSpec.from_json(read_run(self.path)["chip"]) if self.path.is_dir() else read_model(self.path).chip

    def check_chips(self, folder: Path | str, spec: ChipSpec) -> None:
        """Refuses chips that show another part of the detector's box than those it was trained on. With an aligner, their side in
        pixels may differ.

        Raises:
            InputError: they do, or the aligner cannot shrink chips of this side.
        """
        own, aligner = self.chip(), self.verifier.aligner
        if replace(own, side_px=spec.side_px, channels=spec.channels) != spec:
            raise InputError(
                f"{folder}: chips of {spec.scale:g} boxes, {spec.shift_down:g} down, and those of {self.path} are of {own.scale:g}, "
                f"{own.shift_down:g} down: it would see faces of another size or place; prepare with the recipe that it was trained with"
            )
        if aligner and spec.side_px % aligner.spec.input_px:
            raise InputError(
                f"{folder}: chips of {spec.side_px} px, and the aligner of {self.path} takes multiples of {aligner.spec.input_px}; prepare "
                "with the recipe that it was trained with"
            )

    def split(self, data: list[Path]) -> dict[str, list[str]]:
        """The split that it used; `data` are the prepared sets at hand. Raises InputError if the split cannot be determined."""
        return read_split(self.path) if self.path.is_dir() else split_of_file(read_model(self.path), data)


def load_sets(data: list[Path], recipe: Recipe) -> tuple[Faces, list[Faces]]:
    """Loads the first set, whose people are split, and the further ones, with the teacher's answers if the recipe needs them. Warns on
    standard error of pictures that are left out because an earlier set has a different one under the same name.

    Raises:
        InputError: a set is not prepared, lacks a teacher's answers that the recipe needs, or does not fit the recipe.
    """
    needs_teaching = bool(recipe.loss.teacher or recipe.loss.contrast or recipe.tower.align or recipe.batch.alike)
    main, *further = (load_with_teaching(folder) if needs_teaching else load_faces(folder) for folder in data)
    spec, side_px = chip_of(recipe), recipe.tower.side
    for folder, faces in zip(data, (main, *further), strict=True):
        if recipe.tower.align and faces.spec != spec:
            raise InputError(
                f"{folder}: chips of {faces.spec.side_px} px and {faces.spec.scale} boxes, the recipe takes {spec.side_px} px "
                f"and {spec.scale}; run `trainer prepare {folder} --recipe` with that recipe"
            )
        if not recipe.tower.align and side_px not in (0, faces.spec.side_px):
            raise InputError(
                f"{folder}: chips of {faces.spec.side_px} px, and a tower that sees {side_px} px (tower.side) without tower.align sees "
                f"whole chips; run `trainer prepare {folder} --side {side_px}`, or leave tower.side out"
            )
    earlier = main
    for folder, faces in zip(data[1:], further, strict=True):
        if hidden := earlier.hidden(faces):
            print(
                f"warning: {folder}: {len(hidden)} pictures, such as {hidden[0]}, are left out: a set before has another chip of the same "
                "person and picture's name. If they are other photographs, give their files other names and prepare the set again",
                file=sys.stderr,
                flush=True,
            )
        earlier = earlier.joined_with(faces)
    return main, further


def find_start(recipe: Recipe) -> Start | None:
    """The run or model file that a recipe starts from; None for dlib's weights, or for no start.

    Raises:
        InputError: it is neither a run nor a model file.
    """
    if recipe.tower.init in ("", "dlib"):
        return None
    # Checked here, so that a wrong recipe is refused before its run folder is begun.
    return open_start(recipe.tower.init)


def open_start(name: str) -> Start:
    """A start by the path of its run folder or model file.

    Raises:
        InputError: it is neither.
    """
    path = Path(name)
    if not (path / RECORD).is_file() and not path.is_file():
        raise InputError(f"{name!r}: neither 'dlib' nor a finished run's folder nor a model file")
    return Start(path)


def inherit_tower(recipe: Recipe, start: Start | None) -> Recipe:
    """The recipe with `tower.inner`, `tower.narrow` and `tower.trim` of its start where it sets none itself, and `tower.side` no larger
    than that of its start: cutting a tower never makes it larger."""
    if start is None or recipe.tower.network != Network.RESNET:
        return recipe
    start_settings = start.tower()
    return recipe.changed(
        tower__trim=(not recipe.tower.trim and start_settings.trim) or None,
        tower__inner=(not recipe.tower.inner and start_settings.inner) or None,
        tower__narrow=(not recipe.tower.narrow and start_settings.narrow) or None,
        tower__side=(recipe.tower.align and 0 < start_settings.side < recipe.tower.side and start_settings.side) or None,
    )


def check_start(start: Start | None, settings: TowerSettings, tower: keras.Model) -> None:
    """Refuses a start whose weights a fresh `tower` of these settings cannot take. Raises as `initialise` does."""
    _starting_tower(start, settings, tower)


def initialise(
    tower: keras.Model, settings: TowerSettings, start: Start | None, sample: Callable[[int, int], NDArray[np.uint8]]
) -> None:
    """Sets a fresh tower to the trained weights that the recipe starts from, if any: dlib's, or those of `start`.

    If the tower has fewer maps or sees fewer pixels than the start, its filters are fitted to the start's outputs (trainer/prune.py) for
    `sample(side_px, margin)`, which gives the same faces at any side, with so many pixels more on each side than the tower sees, uint8
    [n, side, side] or [n, side, side, 3].

    Raises:
        InputError: the start is not finished, or its tower does not fit.
        PackageMissing: dlib's weights are not installed.
    """
    source = _starting_tower(start, settings, tower)
    if source is None:
        return
    if shapes(source) == shapes(tower) and source.input_shape == tower.input_shape:
        tower.set_weights(source.get_weights())
    else:
        margin, source_px, side_px = margin_of(settings, start), source.input_shape[1], tower.input_shape[1]
        larger = sample(source_px, margin)
        same = margin or source_px == side_px
        prune(source, tower, larger, middle(larger, margin) if same else sample(side_px, 0), trimmed=margin > 0)


def _starting_tower(start: Start | None, settings: TowerSettings, tower: keras.Model) -> keras.Model | None:
    if start:
        source = start.verifier.tower
    elif settings.init == "dlib":
        if settings.network is not Network.RESNET:
            raise InputError(f"init = 'dlib' with network = {settings.network}: dlib's weights are for network = 'resnet'")
        _, side_px, _, channels = tower.input_shape
        # dlib's filters suit the size of a face in squares of SIDE_PX. For a smaller side they are refitted to their outputs at SIDE_PX.
        source = build_resnet(max(side_px + 2 * settings.trim, SIDE_PX) if settings.align else side_px, channels)
        load_dlib(source, read_dlib(find_weights()), bgr=True)
    else:
        return None
    if (
        not _sees_enough(source, settings, tower, margin_of(settings, start))
        or source.output_shape != tower.output_shape
        or not (shapes(source) == shapes(tower) or _can_be_cut(shapes(source), settings, tower))
    ):
        raise InputError(f"init = {settings.init!r}: that tower is not of this recipe's network and size")
    return source


def _can_be_cut(source_shapes: list[tuple[int, ...]], settings: TowerSettings, tower: keras.Model) -> bool:
    """Whether `tower` can be cut out of a tower whose weights have the shapes `source_shapes`."""
    target_shapes = shapes(_before_narrowing(settings, tower))
    # With `inner`, the blocks of the larger tower may have more maps inside.
    larger = settings.network is Network.RESNET and bool(settings.inner)
    return [len(shape) for shape in source_shapes] == [len(shape) for shape in target_shapes] and all(
        x == y or (x > y and larger)
        for a, b in zip(source_shapes, target_shapes, strict=True)
        for x, y in zip(a, b, strict=True)
    )


def _sees_enough(source: keras.Model, settings: TowerSettings, tower: keras.Model, margin: int) -> bool:
    """Whether `tower` sees what its start sees, or less and can be fitted to it: only an aligned tower, whose squares are cut from chips at
    any place and size, and only from a start without narrow convolutions."""
    if source.input_shape == tower.input_shape and not margin:
        return True
    _, source_side, _, channels = source.input_shape
    _, target_side, _, target_channels = tower.input_shape
    unnarrowed = not any(layer.name.endswith("_narrow") for layer in source.layers)
    return (
        settings.network is Network.RESNET
        and settings.align
        and (source_side == target_side + 2 * margin if margin else source_side > target_side)
        and channels == target_channels
        and unnarrowed
    )


def margin_of(settings: TowerSettings, other: Start | None) -> int:
    """How many pixels a tower sees less on each side than another at the same scale, its start or its teacher; None is dlib's."""
    return settings.trim - (other.tower().trim if other else 0)


def _before_narrowing(settings: TowerSettings, tower: keras.Model) -> keras.Model:
    """A tower like this one without narrow convolutions."""
    if not settings.narrow:
        return tower
    _, side_px, _, channels = tower.input_shape
    return build_tower(settings.model_copy(update={"narrow": {}}), side_px, tower.output_shape[-1], channels)


def check_cohort(recipe: Recipe, split: dict[str, list[str]], people: int) -> None:
    """Refuses a recipe whose `tower.cohort`, the number of nearest strangers, is not below both the number of people kept for the cohort
    and `people`, the number of candidates for the finished model's cohort.

    Raises:
        InputError: it is not.
    """
    nearest, strangers = recipe.tower.cohort, min(people, len(split["cohort"]) + len(split[FURTHER_COHORT]))
    if nearest and strangers <= nearest:
        raise InputError(
            f"tower.cohort = {nearest}: this data lends {strangers} people to the cohort, more than {nearest} are needed; add people with "
            "`trainer import lfw` or any folder of person folders, or set a smaller one in a recipe of your own"
        )
