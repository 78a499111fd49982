"""Plans a new training: checks everything that can be checked before anything is written, and splits the people."""

from __future__ import annotations

from pathlib import Path

from trainer.backend import keras
from trainer.cohort import pool
from trainer.dataset import Faces
from trainer.pairs import batch_size
from trainer.progress import show_status
from trainer.quantise import check_rounding
from trainer.settings import Recipe
from trainer.split import FURTHER, check_two_names, new_split
from trainer.spread import check_end
from trainer.start import Start, check_cohort, check_start
from trainer.teacher import check_teacher, with_learned, with_taught
from trainer.team import Team


def plan(
    recipe: Recipe, data: list[Path], main: Faces, further: list[Faces], all_faces: Faces, own: set[str], tower: keras.Model,
    start: Start | None, teacher: Start | None, team: Team,
) -> dict[str, list[str]]:  # fmt: skip
    """The split of a new training on the sets `main` and `further`, loaded from the folders `data`; `all_faces` are both joined, `own`
    the user's own people among them. `tower` is a fresh one of the recipe.

    Raises:
        InputError: the recipe, the start, the teacher and the data do not fit together.
    """
    split = new_split(recipe, main, further, all_faces, start.split(data) if start else None)
    with show_status("looking for pictures that stand under two names"):
        check_two_names(all_faces, split)
    check_cohort(recipe, split, len(pool(all_faces, split, own).labels))
    check_start(start, recipe.tower, tower)
    if start and recipe.tower.align and start.verifier.aligner:
        start.check_chips(data[0], main.spec)
    if teacher:
        check_teacher(teacher, tower, recipe.tower)
        split = with_learned(teacher, split, data)
    if recipe.loss.teacher or recipe.loss.contrast:  # both start from the teachers' vectors
        split = with_taught(data, split)
    if recipe.tower.spread:
        check_end(tower)
    if recipe.tower.quantised:
        check_rounding(tower)
    team.share(batch_size(all_faces.of([*split["train"], *split[FURTHER]]).labels, recipe.batch))
    return split
