"""Validates an epoch: compares all pairs of the validation people, with the cohort if the recipe has one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.contract.align import Placement
from edge.contract.metrics import eer, fnmr, supports_fmr, threshold_at_fmr
from edge.contract.score import score_all_pairs, with_cohort
from trainer.aligner import Aligner
from trainer.backend import keras
from trainer.dataset import Chips, Faces
from trainer.networks import SiameseHead
from trainer.settings import Recipe
from trainer.step import unit
from trainer.verifier import embed

# Epochs are compared by the EER and by the FNMR at those of these FMRs that the number of validation people supports.
COMPARED_AT = (1e-2, 1e-3, 1e-4)


@dataclass(frozen=True, slots=True)
class Judges:
    """The validation faces, and the `cohort`, one chip of each of its people; None if the recipe has no cohort. `placements` say where the
    face lies in each chip, None without an aligner."""

    validation: Faces
    cohort: Chips | None
    recipe: Recipe
    placements: list[Placement] | None
    cohort_placements: list[Placement] | None

    @classmethod
    def placed(cls, validation: Faces, cohort: Chips | None, recipe: Recipe, aligner: Aligner | None) -> Judges:
        """Runs the aligner, if any, on both sets of chips, once for all epochs."""
        placements = [aligner.placements(chips) if aligner and chips else None for chips in (validation.chips, cohort)]
        return cls(validation, cohort, recipe, *placements)

    def embed(self, tower: keras.Model) -> NDArray[np.float32]:
        """The validation people's embeddings, float32 [n, D]."""
        return embed(tower, self.validation.chips, self.placements)

    def strangers(self, tower: keras.Model) -> NDArray[np.float32] | None:
        """The cohort's embeddings, float32 [n, D]; None without a cohort."""
        return embed(tower, self.cohort, self.cohort_placements) if self.cohort else None

    def validate(self, head: SiameseHead, tower: keras.Model) -> tuple[dict[str, float], float]:
        """The validation figures of an epoch, and its cost, by which epochs are compared (see `rates_and_cost`)."""
        embeddings, strangers = self.embed(tower), self.strangers(tower)
        numpy_head = head.to_numpy()
        if strangers is not None:
            numpy_head = with_cohort(numpy_head, strangers, self.recipe.tower.cohort)
        genuine, impostor = score_all_pairs(numpy_head, embeddings, self.validation.labels)
        rates, cost = rates_and_cost(genuine, impostor)
        row = {f"val_{name}": rate for name, rate in rates.items()}
        if self.recipe.loss.pairs:
            row["val_loss"] = balanced_cross_entropy(genuine, impostor)
        if self.recipe.loss.teacher and self.validation.teaching:
            row["val_teacher"] = float(np.square(unit(embeddings) - unit(self.validation.teaching.vectors)).sum(1).mean())
        return row, cost


def rates_and_cost(genuine: NDArray[np.float64], impostor: NDArray[np.float64]) -> tuple[dict[str, float], float]:
    """The EER and the FNMR at each FMR of COMPARED_AT that the comparisons support, and their mean: the cost of an epoch or a head."""
    rates = {"eer": eer(genuine, impostor)[0]}
    for target in COMPARED_AT:
        if supports_fmr(impostor.size, target):
            rates[f"fnmr_{target:g}"] = fnmr(genuine, threshold_at_fmr(impostor, target)).value
    return rates, float(np.mean(list(rates.values())))


def balanced_cross_entropy(genuine: NDArray[np.float64], impostor: NDArray[np.float64]) -> float:
    """Binary cross-entropy of scores, with equal weight for genuine and impostor ones."""
    tiny = 1e-12
    return float(-(np.log(genuine + tiny).mean() + np.log(1 - impostor + tiny).mean()) / 2)
