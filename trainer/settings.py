"""Recipes: every setting of a training with its type, range and default. Reads TOML; the included recipes are in recipes/."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.contract.errors import InputError
from edge.contract.spec import ChipSpec
from trainer.choices import RECIPES, Network, recipe_names

_CHIP = ChipSpec()


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ChipSettings(_Table):
    """The chips that `trainer prepare --recipe` cuts."""

    side: Annotated[int, Field(ge=32, le=256, description="pixels")] = _CHIP.side_px
    scale: Annotated[float, Field(ge=0.5, le=3.0, description="widths of the detector's box")] = _CHIP.scale
    shift_down: Annotated[float, Field(ge=-0.5, le=0.5, description="heights of the box")] = _CHIP.shift_down
    colour: Annotated[bool, Field(description="in colour, as most cameras give it; near-infrared ones do not")] = False


def _network(name: str) -> str:
    if name in list(Network):
        return Network(name)
    if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name):
        raise ValueError(f"expected {', '.join(Network)}, or module:function")
    return name


class TowerSettings(_Table):
    """The twin tower and the head."""

    network: Annotated[
        str, AfterValidator(_network), Field(description="compact, koch, resnet, or a function of one's own as module:function")
    ] = Network.COMPACT
    init: Annotated[
        str,
        Field(
            description="`dlib`: the resnet's CC0 weights; a finished run's folder or a model file: its tower, cut as inner, narrow and "
            "side say"
        ),
    ] = ""
    side: Annotated[
        int,
        Field(
            ge=0,
            le=256,
            description="pixels that the tower sees; 0: the whole chip; with align fewer than its start sees, or as many",
        ),
    ] = 0
    trim: Annotated[
        int,
        Field(
            ge=0,
            le=64,
            multiple_of=16,
            description="pixels on each side of the square that its start sees, at the same scale, that the resnet does not see",
        ),
    ] = 0
    align: Annotated[bool, Field(description="a small network finds the face in the chip first")] = False
    align_steps: Annotated[int, Field(ge=1, le=100000, description="steps that the aligner is trained for")] = 2500
    inner: Annotated[
        tuple[Annotated[int, Field(ge=8, le=256)], ...],
        Field(description="maps inside the blocks of each of the resnet's stages; none: as many as run past them"),
    ] = ()
    narrow: Annotated[
        dict[str, Annotated[int, Field(ge=8, le=256)]],
        Field(
            description="maps that convolutions of the resnet's blocks, named as s3b0_1, give through: a 3x3 to so many, a 1x1 to all"
        ),
    ] = {}
    fixed: Annotated[
        int, Field(ge=0, le=4, description="the resnet's first stages that stay as they start, with what comes before them")
    ] = 0
    quantised: Annotated[
        bool,
        Field(
            description="trained and judged with the rounding that its int8 file will have; for a tower that is good already"
        ),
    ] = False
    normalise: Annotated[bool, Field(description="the head compares directions, not lengths")] = False
    squared: Annotated[bool, Field(description="the head sums squared differences")] = False
    spread: Annotated[
        float,
        Field(
            ge=0,
            description="no direction of the finished tower's embeddings varies more than so many times the mean; 0: as they come",
        ),
    ] = 0.0
    mirrored_templates: Annotated[
        bool, Field(description="what is enrolled is the mean of a face and its mirror image; so is a probe that is in doubt")
    ] = False
    cohort: Annotated[
        int,
        Field(ge=0, le=64, description="nearest strangers of the cohort that a face's likeness to them is judged by; 0: none"),
    ] = 0


class LossSettings(_Table):
    """Weights of the loss terms, and their settings."""

    pairs: Annotated[float, Field(ge=0, description="binary cross-entropy through the head")] = 1.0
    hardest: Annotated[float, Field(gt=0, le=1, description="share of the anchor-negative pairs, the closest, that count")] = (
        1.0
    )
    teacher: Annotated[float, Field(ge=0, description="squared distance to the teacher's vectors, both of unit length")] = 0.0
    asked: Annotated[
        str,
        Field(
            description="who is asked anew about what each step sees, instead of what the teacher said of the pictures as they are: "
            "`start`, what the tower starts from, a finished run's folder or a model file"
        ),
    ] = ""
    contrast: Annotated[float, Field(ge=0, description="cross-entropy of an anchor's partner among all pictures' vectors")] = (
        0.0
    )
    contrast_scale: Annotated[float, Field(gt=0, description="what cosines are multiplied by in it")] = 64.0
    margin: Annotated[float, Field(ge=0, le=1, description="cosine that the partner must be ahead by")] = 0.0

    @model_validator(mode="after")
    def _check_loss(self) -> LossSettings:
        if not (self.pairs or self.teacher or self.contrast):
            raise ValueError("pairs, teacher and contrast are all 0: nothing would be learned")
        return self


class BatchSettings(_Table):
    """The people of one batch."""

    people: Annotated[int, Field(ge=2, le=1024, description="anchor-positive pairs, all of different people")] = 48
    strangers: Annotated[int, Field(ge=0, le=4096, description="lone negatives, of further people")] = 32
    alike: Annotated[float, Field(ge=0, le=1, description="share of the batches of people who look alike to the teacher")] = 0.0


class ScheduleSettings(_Table):
    """Length of a training, and its learning rate."""

    epochs: Annotated[int, Field(ge=1, le=10000)] = 60
    steps: Annotated[int, Field(ge=1, le=100000, description="steps an epoch")] = 100
    learning_rate: Annotated[float, Field(ge=1e-7, le=1)] = 1e-3
    warmup_steps: Annotated[int, Field(ge=0)] = 200
    average: Annotated[
        float, Field(ge=0, lt=1, description="momentum of the average of the weights that is judged; 0: none")
    ] = 0.0
    patience: Annotated[int, Field(ge=1, description="epochs that tell the validation people apart no better")] = 15


class AugmentSettings(_Table):
    """Augmentation: standard deviations and chances of random changes to a chip."""

    rotate_deg: Annotated[float, Field(ge=0, le=90)] = 5.0
    shear: Annotated[float, Field(ge=0, le=1)] = 0.0
    scale: Annotated[float, Field(ge=0, le=1)] = 0.05
    shift: Annotated[float, Field(ge=0, le=1, description="of the side")] = 0.03
    contrast: Annotated[float, Field(ge=0, le=1)] = 0.2
    brightness: Annotated[float, Field(ge=0, le=128)] = 20.0
    shade: Annotated[float, Field(ge=0, le=128, description="grey levels from the middle to an edge")] = 25.0
    gamma: Annotated[float, Field(ge=0, le=2)] = 0.2
    blur_chance: Annotated[float, Field(ge=0, le=1)] = 0.3
    noise_chance: Annotated[float, Field(ge=0, le=1)] = 0.3
    noise: Annotated[float, Field(ge=0, le=64, description="grey levels")] = 6.0
    coarse_chance: Annotated[float, Field(ge=0, le=1, description="shrunk and enlarged, or compressed as a webcam does")] = 0.0
    tint: Annotated[float, Field(ge=0, le=1, description="of a colour chip's channels, each by itself, as shares")] = 0.0
    grey_chance: Annotated[
        float, Field(ge=0, le=1, description="of a colour chip, to be seen as a near-infrared camera would")
    ] = 0.0
    mirror_chance: Annotated[float, Field(ge=0, le=1)] = 0.5
    mixed_chance: Annotated[
        float, Field(ge=0, le=1, description="laid over another one by up to a half, for a teacher that is asked anew")
    ] = 0.0


class Recipe(_Table):
    """All settings of a training. Those that a recipe's file does not set have their defaults; a resumed run must have the same ones."""

    chip: ChipSettings = ChipSettings()
    tower: TowerSettings = TowerSettings()
    loss: LossSettings = LossSettings()
    batch: BatchSettings = BatchSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    augment: AugmentSettings = AugmentSettings()
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @model_validator(mode="after")
    def _check_consistency(self) -> Recipe:
        if self.tower.spread and self.loss.pairs:
            raise ValueError(
                "tower.spread with loss.pairs: a head that is trained with the tower would not fit what is damped later"
            )
        if self.tower.fixed and not self.tower.init:
            raise ValueError(
                f"tower.fixed = {self.tower.fixed} without tower.init: stages that nothing has trained would stay so"
            )
        if self.tower.quantised and not self.tower.init:
            raise ValueError(
                "tower.quantised without tower.init: the ranges that are rounded in are those of the start, and an untrained tower's "
                "cut off what it learns; train without, then go on from that run"
            )
        if self.tower.fixed and self.tower.network != Network.RESNET:
            raise ValueError(
                f"tower.fixed = {self.tower.fixed} with tower.network = {self.tower.network}: only 'resnet' has stages"
            )
        if not self.loss.pairs and not self.tower.normalise:
            raise ValueError(
                "loss.pairs = 0 without tower.normalise: the head that is fitted to the finished tower compares directions"
            )
        for name, value in (("inner", self.tower.inner), ("narrow", self.tower.narrow)):
            if value and self.tower.network != Network.RESNET:
                raise ValueError(f"tower.{name} with tower.network = {self.tower.network}: only 'resnet' has blocks")
        if self.tower.trim and (self.tower.network != Network.RESNET or not self.tower.align):
            raise ValueError(
                f"tower.trim = {self.tower.trim}: only the middle of an aligned square is known to hold the face, and only 'resnet' "
                "can do without the rest; set tower.align, or leave tower.trim out"
            )
        if self.loss.asked and not self.loss.teacher:
            raise ValueError("loss.asked without loss.teacher: nothing weighs what it says")
        if self.augment.mixed_chance and (not self.loss.asked or self.loss.pairs or self.loss.contrast):
            raise ValueError(
                "augment.mixed_chance: a face laid over another is nobody's, so it needs loss.asked, and loss.pairs and loss.contrast of 0"
            )
        return self

    def changed(self, **values: object) -> Recipe:
        """The recipe with other values, named `table__key`; values of None change nothing.

        Raises:
            InputError: a value is out of range.
        """
        tables = self.model_dump()
        for key, value in values.items():
            if value is not None:
                *table, name = key.split("__")
                (tables[table[0]] if table else tables)[name] = value
        return _validated(tables, "recipe")


def read_recipe(name: str) -> Recipe:
    """Reads a recipe by the name of an included one, or by the path of a file.

    Raises:
        InputError: there is no such recipe, or it has an unknown key or a value out of range.
    """
    path = RECIPES / f"{name}.toml" if name in recipe_names() else Path(name)
    try:
        tables = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise InputError(f"recipe {name!r}: no such file; the included recipes are {', '.join(recipe_names())}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: unreadable: {error}") from error
    return _validated(tables, str(path))


def _validated(tables: dict[str, Any], source: str) -> Recipe:
    try:
        return Recipe.model_validate(tables)
    except ValidationError as error:
        wrong = [f"{'.'.join(str(part) for part in e['loc'])} = {e['input']!r}: {e['msg'].lower()}" for e in error.errors()]
        raise InputError(f"{source}: {'; '.join(wrong)}") from error


def chip_of(recipe: Recipe) -> ChipSpec:
    """The chip specification that a recipe's data must be prepared with."""
    chip = recipe.chip
    channels = 3 if chip.colour else 1
    return ChipSpec(side_px=chip.side, scale=chip.scale, shift_down=chip.shift_down, channels=channels)
