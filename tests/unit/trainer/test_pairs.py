"""Batches, splits and augmentation: balanced by identity, disjoint, and reproducible from a seed."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge.contract.align import Placement
from edge.contract.errors import InputError
from edge.contract.spec import ChipSpec
from trainer.augment import WHOLE, augment
from trainer.comparisons import pair_errors
from trainer.dataset import Chips, Faces
from trainer.pairs import Batch, PairSampler
from trainer.settings import AugmentSettings, BatchSettings
from trainer.split import split_identities


def faces(counts: list[int]) -> Faces:
    """A person's chips all have the person's number as their grey value."""
    labels = np.repeat(np.arange(len(counts)), counts)
    chips = np.broadcast_to(labels[:, None, None].astype(np.uint8), (len(labels), 32, 32)).copy()
    names = [f"chips/p{label:03d}/{at}.png" for at, label in enumerate(labels)]
    return Faces(ChipSpec(), Chips.whole(chips), labels, [f"p{i:03d}" for i in range(len(counts))], "digest", names)


PLAIN = AugmentSettings(**dict.fromkeys(AugmentSettings.model_fields, 0.0))


def test_rows_are_of_one_person_and_no_two_rows_of_the_same() -> None:
    sampler = PairSampler(
        faces([5, 1, 3, 1, 2, 1, 40, 1]), BatchSettings.model_construct(alike=0.0, people=3, strangers=4), PLAIN, None, 32
    )
    for seed in range(30):
        batch = sampler.draw(np.random.default_rng(seed))
        anchors, positives, negatives = (
            part.tolist() for part in np.split(batch.chips[:, 0, 0], [batch.people, 2 * batch.people])
        )
        assert anchors == positives
        assert len({*anchors, *negatives}) == len(anchors) + len(negatives) == 7


def test_a_person_with_many_pictures_is_not_drawn_more_often() -> None:
    sampler = PairSampler(
        faces([2, 2, 2, 60]), BatchSettings.model_construct(alike=0.0, people=1, strangers=0), PLAIN, None, 32
    )
    drawn = [int(sampler.draw(np.random.default_rng(seed)).chips[0, 0, 0]) for seed in range(400)]
    assert 60 < drawn.count(3) < 140


def test_a_resumed_stream_is_the_same_stream() -> None:
    sampler = PairSampler(
        faces([3] * 12), BatchSettings.model_construct(alike=0.0, people=4, strangers=3), AugmentSettings(), None, 32
    )
    first, second = sampler.stream(7, 0), sampler.stream(7, 2)
    whole = [next(first) for _ in range(4)]
    resumed = [next(second) for _ in range(2)]
    for a, b in zip(whole[2:], resumed, strict=True):
        assert np.array_equal(a.chips, b.chips)
        assert np.array_equal(a.rows, b.rows)
    first.close()
    second.close()


def test_the_split_is_by_identity_and_each_part_has_pairs() -> None:
    counts = [3] * 60 + [1] * 40
    people = faces(counts)
    split = split_identities(people.labels, people.identities, seed=0)
    everyone = [name for names in split.values() for name in names]
    assert sorted(everyone) == sorted(set(everyone)) == [f"p{i:03d}" for i in range(100)]
    assert {part: len(names) for part, names in split.items()} == {"test": 10, "cohort": 10, "validation": 10, "train": 70}
    for part in ("test", "validation"):
        assert sum(int(name[1:]) < 60 for name in split[part]) >= 2
    assert split != split_identities(people.labels, people.identities, seed=1)


def test_too_few_people_are_told() -> None:
    few = faces([2] * 9 + [1] * 50)
    with pytest.raises(InputError, match="9 people with two or more"):
        split_identities(few.labels, few.identities, seed=0)


def test_augmentation_keeps_shape_and_type_and_changes_the_picture() -> None:
    chip = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    one, two = (augment(chip, AugmentSettings(), np.random.default_rng(seed), WHOLE, 64) for seed in (1, 2))
    assert (one.shape, one.dtype) == ((64, 64), np.uint8)
    assert not np.array_equal(one, two)
    assert np.array_equal(one, augment(chip, AugmentSettings(), np.random.default_rng(1), WHOLE, 64))
    assert np.abs(augment(chip, PLAIN, np.random.default_rng(3), WHOLE, 64).astype(int) - chip).max() <= 1


@pytest.mark.parametrize("colours", [(), (3,)])
def test_a_larger_cut_is_the_same_picture_larger(colours: tuple[int, ...]) -> None:
    """With every random change but the noise of single pixels and the coarseness of JPEG, which have a size in pixels."""
    chip = np.random.default_rng(0).integers(0, 256, (96, 96, *colours), np.uint8)
    chip = cv2.GaussianBlur(chip, (0, 0), 6)
    chip = cv2.normalize(chip, None, 20, 235, cv2.NORM_MINMAX)
    settings = AugmentSettings(rotate_deg=5, shear=0.02, grey_chance=0.5, noise_chance=0, coarse_chance=0)
    placement = Placement(0.02, -0.03, 0.8, 4.0)

    def apart(one: int, other: int) -> float:
        small, large = (
            augment(chip, settings, np.random.default_rng(seed), placement, side_px)
            for seed, side_px in ((one, 60), (other, 90))
        )
        return float(np.abs(cv2.resize(large, (60, 60), interpolation=cv2.INTER_AREA).astype(float) - small).mean())

    for seed in range(20):
        assert apart(seed, seed) < 2.5
    assert np.mean([apart(seed, seed + 1) for seed in range(20)]) > 15


def test_a_teacher_of_larger_squares_gets_its_own_cut_of_each_picture() -> None:
    settings = BatchSettings.model_construct(alike=0.0, people=3, strangers=2)
    batches = [
        PairSampler(faces([3] * 9), settings, PLAIN, None, 32, teacher_px=px).draw(np.random.default_rng(4))
        for px in (None, 32, 48)
    ]
    for batch in batches:
        assert np.array_equal(batch.chips, batches[0].chips)
    assert batches[0].larger is None
    assert batches[1].larger is None, "it sees what the tower sees"
    larger = batches[2].larger
    assert larger is not None
    assert larger.shape == (8, 48, 48)
    assert np.array_equal(larger[:, 0, 0], batches[0].chips[:, 0, 0])


def test_what_is_trimmed_is_the_middle_of_what_its_teacher_sees() -> None:
    """The teacher sees just what a tower of the whole square would see, and without a teacher nothing changes for the tower."""
    chips = np.random.default_rng(0).integers(0, 256, (27, 96, 96), np.uint8)
    people = replace(faces([3] * 9), chips=Chips.whole(np.stack([cv2.GaussianBlur(chip, (0, 0), 3) for chip in chips])))
    settings = BatchSettings.model_construct(alike=0.0, people=3, strangers=2)
    whole = [Placement(0.02, -0.03, 0.75, 4.0)] * 27
    part = [placement._replace(size=0.5) for placement in whole]

    def batch(placements: list[Placement], side_px: int, *teacher: int, augmentation: AugmentSettings = PLAIN) -> Batch:
        sampler = PairSampler(people, settings, augmentation, placements, side_px, slice, *teacher)
        return sampler.draw(np.random.default_rng(4))

    taught = batch(part, 32, 48, 8, augmentation=AugmentSettings())
    assert taught.larger is not None
    assert np.array_equal(taught.larger, batch(whole, 48, augmentation=AugmentSettings()).chips)
    assert np.array_equal(taught.chips, taught.larger[:, 8:-8, 8:-8])
    alone = batch(part, 32).chips
    assert np.abs(batch(part, 32, 48, 8).chips.astype(int) - alone).max() <= 1


def test_pair_errors_by_hand() -> None:
    """Separable except that one genuine score in ten is below every impostor score: one error in each fold's twenty at a good threshold."""
    genuine, impostor = np.full(100, 0.9), np.full(100, 0.1)
    assert pair_errors(genuine, impostor, pairs=200).errors == 0
    found = pair_errors(np.where(np.arange(100) % 10 == 0, 0.0, 0.9), impostor, pairs=200)
    assert (found.errors, found.trials) == (10, 200)
    with pytest.raises(ValueError, match="too few"):
        pair_errors(genuine[:3], impostor, pairs=200)
