"""The teacher that a recipe runs on the pictures of each step: finds and checks it, before anything is written to a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.contract.errors import InputError
from trainer.backend import keras
from trainer.networks import build_tower
from trainer.settings import Recipe, TowerSettings
from trainer.split import FURTHER
from trainer.split import START as BEFORE
from trainer.start import Start, margin_of, open_start
from trainer.teach import TEACHER, read_learned
from trainer.verifier import weights_digest

STARTED_FROM = "start"


def find_teacher(recipe: Recipe, start: Start | None) -> Start | None:
    """The teacher that `loss.asked` names, None if it names none.

    Raises:
        InputError: there is no such run or model file, or `loss.asked` is "start" and the recipe starts from neither.
    """
    name = recipe.loss.asked
    if name == STARTED_FROM and start is None:
        raise InputError(
            f"loss.asked = {STARTED_FROM!r} with init = {recipe.tower.init!r}: only a run or a model file can be asked; name one with "
            "--init, or with --teacher"
        )
    return start if name == STARTED_FROM else open_start(name) if name else None


def check_teacher(teacher: Start, tower: keras.Model, settings: TowerSettings) -> None:
    """Refuses a teacher that does not see what `tower` sees, aligned squares or whole chips, or whose input or output shape differs. If
    the tower aligns, the sides may differ: the same square of a chip is cut in both sizes. A trimmed tower's teacher sees the whole
    square at the same scale.

    Raises:
        InputError: it does not fit, or the teacher's run is not finished.
    """
    teacher_tower, aligned = teacher.verifier.tower, settings.align
    if (teacher.verifier.aligner is not None) != aligned:
        squares, chips = "the aligned square of a chip", "whole chips"
        sees, shown = (chips, squares) if aligned else (squares, chips)
        raise InputError(f"loss.asked = {str(teacher.path)!r}: it sees {sees}, and would be shown {shown} (tower.align)")
    margin = margin_of(settings, teacher)
    if margin < 0:
        raise InputError(
            f"loss.asked = {str(teacher.path)!r}: it sees {-margin} px less on each side than the tower that it teaches (tower.trim)"
        )
    first = 3 if aligned and not margin else 1
    _, *seen, channels = tower.input_shape
    sides = [side + 2 * margin for side in seen]
    for verb, teacher_shape, tower_shape in (
        ("sees", teacher_tower.input_shape[first:], (None, *sides, channels)[first:]),
        ("gives", teacher_tower.output_shape[1:], tower.output_shape[1:]),
    ):
        if teacher_shape != tower_shape:
            raise InputError(
                f"loss.asked = {str(teacher.path)!r}: it {verb} {list(teacher_shape)}, the tower that it teaches needs {list(tower_shape)}"
            )


def people_learned_by(teacher: Start, data: list[Path]) -> set[str]:
    """The identities that a teacher, or a training it started from, was trained on. `data` are the prepared sets at hand; for a model file
    that does not ship with facelatch they must be its training sets, in their order.

    Raises:
        InputError: they cannot be determined.
    """
    try:
        split = teacher.split(data)
    except InputError as error:
        raise InputError(
            f"teacher {str(teacher.path)!r}: whom it was trained on is not known here; name its run's folder, a file that ships, or "
            "give with --data the sets that it was trained on, in their order"
        ) from error
    return {name for part in ("train", FURTHER, BEFORE) for name in split.get(part, [])}


def with_learned(teacher: Start, split: dict[str, list[str]], data: list[Path]) -> dict[str, list[str]]:
    """The split of a training that uses this teacher. People known to the teacher alone are listed with those that the start used: its
    vectors carry what it learned of them, so rates on them would not be rates on unseen people. For the same reason a teacher is
    refused that was trained on anyone whom this training holds out.

    Raises:
        InputError: the teacher was trained on held-out people, or whom it was trained on cannot be determined.
    """
    return _with_learned(f"loss.asked = {str(teacher.path)!r}: it", people_learned_by(teacher, data), split)


def with_taught(data: list[Path], split: dict[str, list[str]]) -> dict[str, list[str]]:
    """As `with_learned`, for the teachers whose vectors are stored with the prepared sets `data`.

    Raises:
        InputError: one of them was trained on anyone whom this training holds out.
    """
    for folder in data:
        split = _with_learned(f"{folder / TEACHER}: the teacher that was asked", read_learned(folder), split)
    return split


def check_same_teacher(teacher: Start, record: dict[str, Any], run: Path) -> None:
    """Notes the digest of the teacher's weights in a run's record, or compares it with the one noted when the run was begun.

    Raises:
        InputError: the teacher's weights have changed.
    """
    weights = weights_digest(teacher.verifier.tower)
    # Older runs have no digest yet.
    if record["data"].setdefault("asked_sha256", weights) != weights:
        raise InputError(
            f"{run}: {teacher.path}, which is asked, has changed since this run was started; choose another --run folder"
        )


def _with_learned(description: str, learned: set[str], split: dict[str, list[str]]) -> dict[str, list[str]]:
    if held_out := learned & {*split["test"], *split["validation"]}:
        raise InputError(
            f"{description} was trained on {len(held_out)} of the people whom this training keeps out; give the --seed of its own "
            "training, start from it (--init), or ask another teacher"
        )
    others = learned - {name for names in split.values() for name in names}
    return split | {BEFORE: sorted({*split.get(BEFORE, []), *others})} if others else split


def build_teacher_tower(teacher: Start) -> keras.Model:
    """The teacher's tower, frozen, in the current precision policy."""
    trained = teacher.verifier.tower
    _, side_px, _, channels = trained.input_shape
    network = build_tower(teacher.tower(), side_px, trained.output_shape[-1], channels)
    network.set_weights(trained.get_weights())
    network.trainable = False
    return network
