"""Batches of anchors, positives and negatives, drawn evenly over identities and prepared in a thread beside the training step."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.contract.align import Placement
from trainer.augment import WHOLE, augment, middle, with_margin
from trainer.dataset import Faces
from trainer.settings import AugmentSettings, BatchSettings


@dataclass(frozen=True, slots=True)
class Batch:
    """p anchors, their positives in the same order, and n negatives. `rows`, int64 [2p + n], are their rows in the set; `chips`, uint8
    [m, side, side] or [m, side, side, 3], those of this process's share, all of them in a single process; `people` is p. `larger` are
    the same chips as a teacher sees them, None if it sees what the tower sees.

    All p + n people are different, so each positive is a negative for all other anchors.
    """

    chips: NDArray[np.uint8]
    rows: NDArray[np.int64]
    people: int
    larger: NDArray[np.uint8] | None = None


def _people_and_strangers(labels: NDArray[np.int64], settings: BatchSettings) -> tuple[int, int]:
    """How many people a batch shows twice, and how many once, limited by the people of `labels`."""
    counts = np.bincount(labels)
    people = min(settings.people, int((counts > 1).sum()))
    return people, min(settings.strangers, len(counts) - people)


def batch_size(labels: NDArray[np.int64], settings: BatchSettings) -> int:
    """How many pictures a batch has, limited by the people of `labels`."""
    people, strangers = _people_and_strangers(labels, settings)
    return 2 * people + strangers


class PairSampler:
    """Draws `people` anchor-positive pairs and `strangers` lone negatives a batch. Everyone is equally likely, however many pictures they
    have. With `teacher_px`, the side of what a teacher sees, each picture is also cut in that size if it is not `side_px`: the same part
    of the face, or with `margin` so many pixels more on each side, at the same scale."""

    def __init__(
        self,
        faces: Faces,
        settings: BatchSettings,
        augmentation: AugmentSettings,
        placements: list[Placement] | None,
        side_px: int,
        share: Callable[[int], slice] = slice,
        teacher_px: int | None = None,
        margin: int = 0,
    ) -> None:
        self._chips, self._placements, self._side_px = faces.chips, placements, side_px
        self._teacher_px, self._margin = teacher_px if teacher_px != side_px else None, margin
        order = np.argsort(faces.labels, kind="stable")
        self._by_person = np.split(order, np.cumsum(np.bincount(faces.labels))[:-1])
        self._several = np.array([i for i, rows in enumerate(self._by_person) if len(rows) > 1])
        self._people, self._strangers = _people_and_strangers(faces.labels, settings)
        self._share = share(2 * self._people + self._strangers)
        self._augmentation = augmentation
        self._alike_share = settings.alike
        self._likeness = _likeness(faces, self._by_person) if settings.alike and faces.teaching else None

    def draw(self, rng: np.random.Generator) -> Batch:
        """One batch."""
        everyone = np.arange(len(self._by_person))
        if self._likeness is not None and rng.random() < self._alike_share:
            # The people most like a random one; noise on the likeness keeps a batch from always being the same group.
            likeness = self._likeness @ self._likeness[rng.choice(everyone)] + rng.normal(0, 0.1, len(everyone))
            order = np.argsort(-likeness)
            chosen = order[np.isin(order, self._several)][: self._people]
            strangers = order[~np.isin(order, chosen)][: self._strangers]
        else:
            chosen = rng.choice(self._several, self._people, replace=False)
            strangers = rng.choice(np.setdiff1d(everyone, chosen), self._strangers, replace=False)
        pairs = np.array([rng.choice(self._by_person[i], 2, replace=False) for i in chosen])
        lone = np.array([rng.choice(self._by_person[i]) for i in strangers], dtype=np.int64)
        rows = np.concatenate([pairs[:, 0], pairs[:, 1], lone])
        # A seed for each picture, so that a process that prepares only its share augments it just as one that prepares the whole batch.
        seeds = rng.integers(0, 2**63, len(rows))

        def views(side_px: int) -> NDArray[np.uint8]:
            shared = zip(rows[self._share], seeds[self._share], strict=True)
            return np.stack([self._view(row, np.random.default_rng(seed), side_px) for row, seed in shared])

        larger = views(self._teacher_px) if self._teacher_px else None
        chips = middle(larger, self._margin) if larger is not None and self._margin else views(self._side_px)
        return Batch(chips, rows, len(chosen), larger)

    def stream(self, seed: int, first_step: int, ahead: int = 8) -> Iterator[Batch]:
        """An endless stream of batches from step `first_step` on. Each depends only on seed and step, so that a resumed run sees the
        same batches as an uninterrupted one."""
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

    def _view(self, row: int, rng: np.random.Generator, side_px: int) -> NDArray[np.uint8]:
        placement = self._placements[row] if self._placements else WHOLE
        if side_px != self._side_px:
            placement = with_margin(placement, self._margin, side_px)
        return augment(self._chips.one(row), self._augmentation, rng, placement, side_px)


def _likeness(faces: Faces, by_person: list[NDArray[np.int64]]) -> NDArray[np.float32]:
    """A unit vector for each person, float32 [people, T], whose dot products are the likeness of two people to the teacher."""
    vectors = faces.teaching.vectors if faces.teaching else np.empty((0, 0), np.float32)
    means = np.stack([vectors[rows].mean(0) for rows in by_person])
    means -= means.mean(0)  # what all faces have in common says nothing about likeness
    return (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)
