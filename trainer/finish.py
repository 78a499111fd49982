"""Makes the verifier of a trained tower: the cohort, the head, and the scores that leave doubt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge.contract.align import Placement
from edge.contract.score import Head
from trainer.aligner import Aligner
from trainer.backend import keras
from trainer.cohort import Strangers, choose_strangers, write_cohort
from trainer.dataset import PICTURES_EACH, Faces
from trainer.doubt import with_doubt
from trainer.head import fit_head
from trainer.judges import Judges
from trainer.networks import SiameseHead
from trainer.progress import show_status
from trainer.settings import Recipe
from trainer.spread import damp
from trainer.verifier import Verifier, embed


def make_verifier(
    run: Path, recipe: Recipe, tower: keras.Model, head: SiameseHead, aligner: Aligner | None, train: Faces,
    placements: list[Placement] | None, people: Faces, judges: Judges,
) -> tuple[Verifier, dict[str, Any]]:  # fmt: skip
    """The verifier, and what was found for the run's record. `placements` say where the faces of `train` lie, `people` are the candidates
    for the cohort, whose names are written to the run's cohort.json. A head that was not trained with the tower is fitted to it.

    Raises:
        StorageError: the cohort cannot be written.
    """
    found: dict[str, Any] = {}
    numpy_head = head.to_numpy()
    if not recipe.loss.pairs:
        rows = train.first_rows_per_person(PICTURES_EACH)
        with show_status(f"fitting the head to {len(rows)} pictures"):
            embeddings = embed(tower, train.chips.only(rows), [placements[row] for row in rows] if placements else None)
        if recipe.tower.spread:
            embeddings, found["spread"] = damp(tower, embeddings, recipe.tower.spread, judges, head)
        plain_head = Head(np.ones(embeddings.shape[1], np.float32), 0.0, True, recipe.tower.squared)
        strangers = _choose_cohort(run, Verifier(tower, plain_head, aligner), people, recipe.tower.cohort)
        numpy_head, found["head"] = fit_head(
            embeddings, train.labels[rows], judges.embed(tower), judges.validation.labels, strangers,
            squared=recipe.tower.squared,
        )  # fmt: skip
    elif strangers := _choose_cohort(run, Verifier(tower, numpy_head, aligner), people, recipe.tower.cohort):
        numpy_head = strangers.as_cohort_of(numpy_head)
    verifier = Verifier(tower, numpy_head, aligner, recipe.tower.mirrored_templates)
    if verifier.mirrored_templates:
        embeddings, validation = judges.embed(tower), judges.validation
        templates = verifier.templates(validation.chips, embeddings)
        verifier = replace(verifier, head=with_doubt(numpy_head, embeddings, templates, validation.labels))
        found["doubt"] = verifier.head.doubt
    return verifier, found


def _choose_cohort(run: Path, verifier: Verifier, people: Faces, nearest: int) -> Strangers | None:
    """Chooses the finished model's cohort among `people` and writes their names to cohort.json. None if `nearest` is 0."""
    if not nearest:
        return None
    with show_status(f"choosing the cohort among {len(people.labels)} people"):
        strangers = choose_strangers(verifier.head, verifier.embed(people.chips), nearest)
    write_cohort(run, people, strangers)
    return strangers
