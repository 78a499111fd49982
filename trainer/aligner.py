"""The aligner: a small network that learns from a teacher's placements where in a chip the face lies."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from edge.contract.align import ALIGN_VERSION, AlignSpec, Placement, shrink
from edge.contract.chip import to_grey
from edge.contract.errors import InputError
from trainer.augment import augment
from trainer.backend import keras
from trainer.dataset import Chips, Faces
from trainer.settings import AugmentSettings

layers = keras.layers

INPUT_SHRINK = 4
BATCH, LEARNING_RATE = 128, 2e-3
# More motion than real boxes and heads have, so that placements that are rare in the data are learned as well.
_JITTER = AugmentSettings(
    rotate_deg=0, scale=0, shift=0, mirror_chance=0, contrast=0.3, brightness=25, shade=30, coarse_chance=0.3
)  # fmt: skip
_MOVE_SHIFT, _MOVE_SCALE, _MOVE_TURN = 0.03, 0.08, 8.0


@dataclass(frozen=True, slots=True)
class Aligner:
    """The network, from float32 pixels 0..255 [n, input, input, 1] to float32 [n, 4], and the specification that turns its output into
    placements."""

    network: keras.Model
    spec: AlignSpec

    def placements(self, chips: Chips | NDArray[np.uint8]) -> list[Placement]:
        """Where the face lies in each chip, uint8 [n, side, side] or [n, side, side, 3]."""
        placements: list[Placement] = []
        for start in range(0, len(chips), 512):
            small = np.stack([shrink(chip, self.spec.input_px) for chip in chips[start : start + 512]])
            outputs = np.asarray(self.network(small[..., None].astype(np.float32), training=False))
            placements += [self.spec.placement(row) for row in outputs]
        return placements

    def with_side(self, side_px: int, margin: int = 0) -> Aligner:
        """The same aligner, for a tower that sees squares of `side_px`: the same part of the face, or with `margin` so many pixels less
        of it on each side."""
        right, down, log_size, turn = self.spec.mean
        mean = (right, down, log_size + math.log(side_px / (side_px + 2 * margin)), turn)
        return replace(self, spec=replace(self.spec, side_px=side_px, mean=mean))


def build_aligner(input_px: int) -> keras.Model:
    """An aligner with fresh weights: 1.3 M multiply-adds at 52 px."""
    pixels = keras.Input((input_px, input_px, 1), name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(pixels)
    for number, (maps, stride) in enumerate(((16, 2), (32, 2), (32, 1), (48, 2), (64, 2))):
        x = layers.Conv2D(maps, 3, stride, "same", use_bias=False, name=f"conv{number}")(x)
        x = layers.BatchNormalization(momentum=0.95, name=f"norm{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
    # No average pooling, which would discard the positions that are asked for.
    x = layers.Dense(64, activation="relu", name="hidden")(layers.Flatten(name="flatten")(x))
    return keras.Model(pixels, layers.Dense(4, name="placement")(x), name="aligner")


def fit_aligner(train: Faces, validation: Faces, side_px: int, steps: int, seed: int) -> tuple[Aligner, dict[str, Any]]:
    """Trains an aligner for chips like those of `train`. Returns it and its record, which has the standard deviation of its error on
    `validation` for each output.

    Raises:
        InputError: the teacher's placements are missing, or the chips' side is not a multiple of INPUT_SHRINK.
    """
    if train.teaching is None or validation.teaching is None:
        raise InputError("an aligner learns from a teacher's placements; run `trainer teach` on every data set")
    chip_px = train.spec.side_px
    if chip_px % INPUT_SHRINK:
        raise InputError(f"chips of {chip_px} px: to align, their side must be a multiple of {INPUT_SHRINK}")
    teacher_outputs = _as_outputs(train.teaching.placements)
    mean, deviation = teacher_outputs.mean(0), teacher_outputs.std(0)
    spec = AlignSpec(ALIGN_VERSION, chip_px // INPUT_SHRINK, side_px, tuple(map(float, mean)), tuple(map(float, deviation)))  # type: ignore[arg-type]
    network = build_aligner(spec.input_px)
    network.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)), keras.losses.Huber(delta=1.0)
    )
    rng = np.random.default_rng((seed, 1))
    progress = track(range(steps), "aligner", console=Console(stderr=True), disable=not sys.stderr.isatty())
    for _ in progress:
        rows = rng.integers(0, len(train.labels), BATCH)
        pictures, targets = zip(
            *(_moved_chip(train.chips.one(row), teacher_outputs[row], spec, rng) for row in rows), strict=True
        )
        network.train_on_batch(np.stack(pictures)[..., None].astype(np.float32), (np.stack(targets) - mean) / deviation)
    aligner = Aligner(network, spec)
    errors = _as_outputs(np.array(aligner.placements(validation.chips))) - _as_outputs(validation.teaching.placements)
    names = ("right", "down", "log_size", "turn_deg")
    return aligner, {
        "spec": spec.to_json(),
        "unaligned_deviation": dict(zip(names, map(float, deviation), strict=True)),
        "error_deviation": dict(zip(names, map(float, errors.std(0)), strict=True)),
        "validation_pictures": len(errors),
    }


def _as_outputs(placements: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    outputs = np.array(placements, np.float64)
    outputs[:, 2] = np.log(outputs[:, 2])
    return outputs


def _moved_chip(
    chip: NDArray[np.uint8], outputs: NDArray[np.float64], spec: AlignSpec, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A randomly moved and shrunk chip, and the correct outputs for it."""
    side = chip.shape[0]
    right, down, log_size, turn = outputs
    # The square of the chip that is shown instead of the whole chip.
    view = Placement(*rng.normal(0, _MOVE_SHIFT, 2), float(np.exp(rng.normal(0, _MOVE_SCALE))), rng.normal(0, _MOVE_TURN))
    small = augment(to_grey(chip), _JITTER, rng, view, side // 2)
    angle = np.radians(-view.turn)
    inverse = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / view.size
    right, down = inverse @ [right - view.right, down - view.down]
    turn -= view.turn
    if rng.random() < 0.5:
        small, right, turn = small[:, ::-1], -right, -turn
    return shrink(np.ascontiguousarray(small), spec.input_px), np.array([right, down, log_size - np.log(view.size), turn])
