"""Pair accuracy on the pairs of a file in LFW's format."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import InputError
from edge.contract.score import Head, score
from trainer.comparisons import fold_errors
from trainer.dataset import Faces
from trainer.interval import of_independent
from trainer.layout import photograph_of

FOLDS = 10


class Pair(NamedTuple):
    """Two pictures by name, whether they show the `same` person, and their fold."""

    same: bool
    first: str
    second: str
    fold: int


def protocol_accuracy(
    head: Head, faces: Faces, templates: NDArray[np.float32], embeddings: NDArray[np.float32], path: Path
) -> dict[str, Any]:
    """Pair accuracy, with the threshold for each fold that is best on the other folds. The folds are the file's if at least two of them
    have usable pairs of each kind, otherwise ten random ones.

    Pairs with a picture that is not in `faces`, such as one of a training person or without a face, are left out and counted. That
    leaves fewer pairs of two people than of one, so the accuracy is the mean of that of both kinds: accepting all is right half the
    time. Its interval is that of as many pairs of each kind as there are of the rarer one; the true one is no wider, whichever kind the
    errors are of.

    Raises:
        InputError: the file is unreadable, or has too few usable pairs.
    """
    row_of = {photograph_of(name): index for index, name in enumerate(faces.names)}
    pairs, folds = read_pairs(path)
    usable = [pair for pair in pairs if pair.first in row_of and pair.second in row_of]
    rows = [(row_of[pair.first], row_of[pair.second]) for pair in usable]
    scores = np.array([float(score(head, embeddings[b], templates[a][None], templates[b])[0]) for a, b in rows])
    same = np.array([pair.same for pair in usable], bool)
    if min(same.sum(), (~same).sum()) < FOLDS:
        raise InputError(
            f"{path}: of {len(pairs)} pairs only {len(usable)} are of unseen people; use another list or a larger test part"
        )
    fold = np.array([pair.fold for pair in usable])
    has_folds = folds > 0 and all(len(np.unique(fold[kind])) > 1 for kind in (same, ~same))
    if not has_folds:
        for kind in (same, ~same):
            fold[kind] = np.random.default_rng(0).permutation(np.arange(kind.sum()) % FOLDS)
    fold_numbers = np.unique(fold)
    missed, matched = fold_errors(*([scores[kind & (fold == one_fold)] for one_fold in fold_numbers] for kind in (same, ~same)))
    genuine, impostor = int(same.sum()), int((~same).sum())
    value = 1 - (missed / genuine + matched / impostor) / 2
    low, high = of_independent(value, 2 * min(genuine, impostor))
    return {
        "pairs": len(usable), "genuine": genuine, "folds": len(fold_numbers), "folds_of_the_file": has_folds, "missed": missed,
        "matched": matched, "value": value, "low": low, "high": high, "left_out": len(pairs) - len(usable),
        "why": "people whom the training used, pictures without a face or with a wrong label, more than ten of a person",
    }  # fmt: skip


def read_pairs(path: Path) -> tuple[list[Pair], int]:
    """The pairs of a file, and the number of folds that its first line states, 0 if none. The first line has the number of folds and of
    pairs of each kind in a fold, or only the number of pairs of each kind, or is a pair itself.

    Raises:
        InputError: the file is unreadable, a line is not a pair, or pairs are missing from the folds.
    """
    try:
        lines = [(number, line.split()) for number, line in enumerate(path.read_text().splitlines(), 1) if line.strip()]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a list of pairs as LFW's: {error}") from error
    header = [int(word) for word in lines[0][1] if word.isdecimal()] if lines and len(lines[0][1]) < 3 else []
    folds, fold_size = (header[0], 2 * header[1]) if len(header) == 2 else (0, 0)
    pairs = []
    for number, words in lines[1:] if header else lines:
        try:
            first, second = ((words[0], words[1]), (words[-2] if len(words) == 4 else words[0], words[-1]))
            if len(words) not in (3, 4):
                raise ValueError
            names = [f"{name}_{int(picture):04d}" for name, picture in (first, second)]
        except (ValueError, IndexError) as error:
            raise InputError(
                f"{path}, line {number}: {' '.join(words)!r}: expected a person and two numbers, or twice a person and a number"
            ) from error
        pairs.append(Pair(len(words) == 3, *names, fold=len(pairs) // fold_size if fold_size else 0))
    if folds and len(pairs) != folds * fold_size:
        raise InputError(f"{path}: {len(pairs)} pairs, its first line tells of {folds * fold_size}; it is cut off")
    return pairs, folds
