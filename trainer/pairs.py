"""Batches of anchors, positives and negatives, drawn evenly over identities, prepared in a thread beside the step."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.augment import Augmentation, augment
from trainer.dataset import Faces


@dataclass(frozen=True, slots=True)
class Batch:
    """uint8 [p, side, side] anchors and as many positives, row i of both the same person, and negatives [n, side, side].

    No two of the p + n people are the same, so positives of one row are negatives of all others.
    """

    anchors: NDArray[np.uint8]
    positives: NDArray[np.uint8]
    negatives: NDArray[np.uint8]


class PairSampler:
    """Draws `people` anchor-positive pairs and `strangers` lone negatives a batch; a person's pictures count as one."""

    def __init__(self, faces: Faces, people: int, strangers: int, augmentation: Augmentation) -> None:
        self._chips = faces.chips
        order = np.argsort(faces.labels, kind="stable")
        self._by_person = np.split(order, np.cumsum(np.bincount(faces.labels))[:-1])
        self._several = np.array([i for i, rows in enumerate(self._by_person) if len(rows) > 1])
        self._people = min(people, len(self._several))
        self._strangers = min(strangers, len(self._by_person) - self._people)
        self._augmentation = augmentation

    def draw(self, rng: np.random.Generator) -> Batch:
        """One batch."""
        chosen = rng.choice(self._several, self._people, replace=False)
        others = np.setdiff1d(np.arange(len(self._by_person)), chosen)
        strangers = rng.choice(others, self._strangers, replace=False)
        pairs = np.array([rng.choice(self._by_person[i], 2, replace=False) for i in chosen])
        lone = np.array([rng.choice(self._by_person[i]) for i in strangers], dtype=np.int64)
        return Batch(self._view(pairs[:, 0], rng), self._view(pairs[:, 1], rng), self._view(lone, rng))

    def stream(self, seed: int, first_step: int, ahead: int = 8) -> Iterator[Batch]:
        """Batches for step `first_step` and on, for ever; each depends on seed and step alone, so that a resumed run sees
        what an unbroken one would have."""
        ready: queue.Queue[Batch | BaseException] = queue.Queue(ahead)
        stop = threading.Event()

        def work() -> None:
            step = first_step
            while not stop.is_set():
                try:
                    item: Batch | BaseException = self.draw(np.random.default_rng((seed, step)))
                except Exception as error:  # noqa: BLE001 - handed to the consumer, which raises it
                    item = error
                while not stop.is_set():
                    try:
                        ready.put(item, timeout=0.2)
                        break
                    except queue.Full:
                        continue
                step += 1

        threading.Thread(target=work, name="batches", daemon=True).start()
        try:
            while True:
                item = ready.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stop.set()

    def _view(self, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
        side = self._chips.shape[1]
        views = [augment(self._chips[row], self._augmentation, rng) for row in rows]
        return np.stack(views) if views else np.empty((0, side, side), np.uint8)
