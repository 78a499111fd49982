"""Whom a recipe asks anew about what each step sees: found and checked before a training's folder is begun."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.contract.errors import InputError
from trainer.backend import keras
from trainer.networks import build_tower
from trainer.settings import Recipe
from trainer.split import FURTHER
from trainer.split import START as BEFORE
from trainer.start import Start, start_at
from trainer.teach import TEACHER, teacher_learned
from trainer.verifier import weights_digest

STARTED_FROM = "start"


def asked_teacher(recipe: Recipe, start: Start | None) -> Start | None:
    """Whom a recipe asks anew; None where it asks nobody.

    Raises:
        InputError: there is none such, or the recipe asks its start and has none that can be asked.
    """
    named = recipe.loss.asked
    if named == STARTED_FROM and start is None:
        raise InputError(
            f"loss.asked = {STARTED_FROM!r} with init = {recipe.tower.init!r}: only a run or a model file can be asked; name one with "
            "--init, or with --teacher"
        )
    return start if named == STARTED_FROM else start_at(named) if named else None


def check_teacher(teacher: Start, tower: keras.Model) -> None:
    """Refuses a teacher that cannot be asked about what `tower` sees, or that answers otherwise.

    Raises:
        InputError: it sees other squares, gives other vectors, or is not finished.
    """
    asked = teacher.verifier.tower
    for what, given, wanted in (
        ("sees", asked.input_shape[1:], tower.input_shape[1:]),
        ("gives", asked.output_shape[1:], tower.output_shape[1:]),
    ):
        if given != wanted:
            raise InputError(
                f"loss.asked = {str(teacher.path)!r}: it {what} {list(given)}, the tower that it teaches {list(wanted)}"
            )


def learned_by(teacher: Start, data: list[Path]) -> set[str]:
    """Whom a teacher was trained on, itself or where it started; `data` are the prepared sets at hand, for a file that does not ship those
    that it was trained on, in their order.

    Raises:
        InputError: nobody knows.
    """
    try:
        before = teacher.split(data)
    except InputError as error:
        raise InputError(
            f"teacher {str(teacher.path)!r}: whom it was trained on is not known here; name its run's folder, a file that ships, or "
            "give with --data the sets that it was trained on, in their order"
        ) from error
    return {name for part in ("train", FURTHER, BEFORE) for name in before.get(part, [])}


def with_learned(teacher: Start, split: dict[str, list[str]], data: list[Path]) -> dict[str, list[str]]:
    """The split of a training in which this teacher is asked: with those of whom the teacher alone knows beside those whom the start
    used. What it says tells of them, and rates on them would be no rates on people unseen. So one that was trained on somebody whom this
    training keeps out is refused.

    Raises:
        InputError: it was, or nobody knows.
    """
    return _with_learned(f"loss.asked = {str(teacher.path)!r}: it", learned_by(teacher, data), split)


def with_taught(data: list[Path], split: dict[str, list[str]]) -> dict[str, list[str]]:
    """The same for the teachers that prepared sets were told by.

    Raises:
        InputError: one was trained on somebody whom this training keeps out.
    """
    for folder in data:
        split = _with_learned(f"{folder / TEACHER}: the teacher that was asked", teacher_learned(folder), split)
    return split


def check_same_teacher(teacher: Start, record: dict[str, Any], run: Path) -> None:
    """Notes in a run's record who is asked, or holds the teacher against what was noted when the run was begun.

    Raises:
        InputError: it is another one now.
    """
    weights = weights_digest(teacher.verifier.tower)
    # Runs from before this was noted have none.
    if record["data"].setdefault("asked_sha256", weights) != weights:
        raise InputError(
            f"{run}: {teacher.path}, which is asked, has changed since this run was started; choose another --run folder"
        )


def _with_learned(who: str, learned: set[str], split: dict[str, list[str]]) -> dict[str, list[str]]:
    if kept_out := learned & {*split["test"], *split["validation"]}:
        raise InputError(
            f"{who} was trained on {len(kept_out)} of the people whom this training keeps out; give the --seed of its own training, start "
            "from it (--init), or ask another teacher"
        )
    beside = learned - {name for names in split.values() for name in names}
    return split | {BEFORE: sorted({*split.get(BEFORE, []), *beside})} if beside else split


def teaching_tower(teacher: Start, tower: keras.Model) -> keras.Model:
    """The teacher's tower, in the precision that is computed in here. Raises InputError as `check_teacher` does."""
    check_teacher(teacher, tower)
    _, side_px, _, channels = tower.input_shape
    asked = build_tower(teacher.tower(), side_px, tower.output_shape[-1], channels)
    asked.set_weights(teacher.verifier.tower.get_weights())
    asked.trainable = False
    return asked
