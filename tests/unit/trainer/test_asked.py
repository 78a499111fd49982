"""A teacher that runs during training (`loss.asked`): its answers, blended faces, who may be one, and that a step uses its answers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.contract.errors import InputError
from trainer.asked import blend, teacher_embeddings
from trainer.backend import keras, tf
from trainer.choices import Strategy
from trainer.networks import SiameseHead
from trainer.pairs import Batch
from trainer.settings import LossSettings, Recipe, TowerSettings
from trainer.step import Siamese
from trainer.teacher import check_same_teacher, check_teacher, find_teacher, with_learned, with_taught
from trainer.team import assemble

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (10, 12, 12, 1)).astype(np.float32)


def _tower(outputs: int, *, sees_sides: bool, side_px: int = 12) -> keras.Model:
    """A tower that distinguishes a face from its mirror image, or one that cannot."""
    pixels = keras.Input((side_px, side_px, 1))
    x = (
        keras.layers.Flatten()(pixels)
        if sees_sides
        else keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 1)(pixels))
    )
    return keras.Model(pixels, keras.layers.Dense(outputs)(x))


def test_it_says_the_mean_of_both_looks() -> None:
    tower = _tower(3, sees_sides=True)
    looks = [np.asarray(tower(seen)) for seen in (PICTURES, PICTURES[:, :, ::-1])]
    wanted = sum(look / np.linalg.norm(look, axis=1, keepdims=True) for look in looks)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    assert np.asarray(teacher_embeddings(tower, tf.constant(PICTURES))) == pytest.approx(wanted, abs=1e-5)


def test_a_face_lies_over_another_by_a_half_at_most() -> None:
    flat = np.arange(0.0, 2000.0, 1.0).reshape(-1, 1, 1, 1) * np.ones((1, 4, 4, 1))  # all pixels of picture n are n
    flat = flat.astype(np.float32)
    seed = tf.constant([0, 7])
    assert np.array_equal(blend(tf.constant(flat), 0.0, seed), flat)
    some, again, other = (np.asarray(blend(tf.constant(flat), 0.5, tf.constant([0, number]))) for number in (7, 7, 8))
    assert np.array_equal(some, again)
    assert not np.array_equal(some, other)
    assert 0.4 < float((some != flat).any((1, 2, 3)).mean()) < 0.6
    # One black and one white picture: the grey of the blended black one is the share of the white one.
    two = np.stack([np.zeros((4, 4, 1)), np.full((4, 4, 1), 255)]).astype(np.float32)
    shares = [np.asarray(blend(tf.constant(two), 1.0, tf.constant([0, number])))[0].max() / 255 for number in range(300)]
    assert 0.45 < max(shares) <= 0.5
    assert min(shares) == 0  # blended with itself


def test_a_step_heeds_who_is_asked_and_not_what_was_said_before() -> None:
    """The student is its own teacher, so the loss is 0, whatever the stored vectors of the original pictures are."""
    tower, head = _tower(5, sees_sides=False), SiameseHead(False, False, name="head")
    head.build((None, 5))
    loss, wrong = LossSettings(pairs=0.0, teacher=1.0), RNG.normal(size=(10, 5)).astype(np.float32)
    batch = Batch(PICTURES[..., 0].astype(np.uint8), np.arange(10), 5)

    def first_loss(asked: keras.Model | None, mix: float) -> float:
        team, optimizer = assemble(Strategy.AUTO), keras.optimizers.Adam(1e-9)
        return Siamese(tower, head, optimizer, loss, np.arange(10), wrong, team, None, asked, mix).step(batch)

    assert first_loss(None, 0.0) > 0.1
    assert first_loss(tower, 0.0) == pytest.approx(0.0, abs=1e-6)
    assert first_loss(tower, 1.0) == pytest.approx(0.0, abs=1e-6)


def test_a_teacher_of_larger_squares_sees_the_same_faces_larger() -> None:
    """Teacher and student see the mean of a picture, so on flat pictures they agree, blended or not, in every size."""
    tower, head = _tower(5, sees_sides=False), SiameseHead(False, False, name="head")
    head.build((None, 5))
    teacher = _tower(5, sees_sides=False, side_px=18)
    teacher.set_weights(tower.get_weights())
    greys = RNG.permutation(np.arange(5, 255, 25, dtype=np.uint8))
    small, large = (np.broadcast_to(greys[:, None, None], (10, side_px, side_px)).copy() for side_px in (12, 18))

    def first_loss(seen: NDArray[np.uint8], blended: float) -> float:
        model = Siamese(
            tower, head, keras.optimizers.Adam(1e-9), LossSettings(pairs=0.0, teacher=1.0), np.arange(10), None,
            assemble(Strategy.AUTO), None, teacher, blended,
        )  # fmt: skip
        return model.step(Batch(small, np.arange(10), 5, seen))

    # The bias of either tower makes embeddings of different greys differ in direction.
    for weights in (tower.layers[-1].weights[1], teacher.layers[-1].weights[1]):
        weights.assign([1.0, -2.0, 3.0, -4.0, 50.0])
    assert first_loss(large, 0.0) == pytest.approx(0.0, abs=1e-6)
    assert first_loss(large, 1.0) == pytest.approx(0.0, abs=1e-6)
    assert first_loss(large[::-1].copy(), 0.0) > 1e-3


WHOLE_CHIPS, ALIGNED = TowerSettings(), TowerSettings(align=True)


def test_who_cannot_be_asked_is_told_of(tmp_path: Path) -> None:
    loss = LossSettings(pairs=0.0, teacher=1.0, asked="start")
    asks_its_start = Recipe(tower=TowerSettings(normalise=True), loss=loss)
    start = SimpleNamespace(
        path=tmp_path, verifier=SimpleNamespace(tower=_tower(5, sees_sides=True), aligner=None), tower=TowerSettings
    )
    assert find_teacher(asks_its_start, start) is start
    assert find_teacher(Recipe(), start) is None
    with pytest.raises(InputError, match="only a run or a model file can be asked"):
        find_teacher(asks_its_start, None)
    with pytest.raises(InputError, match="neither 'dlib' nor a finished run's folder nor a model file"):
        find_teacher(asks_its_start.changed(loss__asked=str(tmp_path / "none")), start)
    check_teacher(start, _tower(5, sees_sides=False), WHOLE_CHIPS)
    with pytest.raises(InputError, match=r"it gives \[5\], the tower that it teaches needs \[6\]"):
        check_teacher(start, _tower(6, sees_sides=False), WHOLE_CHIPS)
    smaller = _tower(5, sees_sides=False, side_px=10)
    with pytest.raises(InputError, match=r"it sees \[12, 12, 1\], the tower that it teaches needs \[10, 10, 1\]"):
        check_teacher(start, smaller, WHOLE_CHIPS)
    with pytest.raises(InputError, match="it sees whole chips, and would be shown the aligned square of a chip"):
        check_teacher(start, smaller, ALIGNED)
    start.verifier.aligner = object()
    check_teacher(start, smaller, ALIGNED)
    trimmed = ALIGNED.model_copy(update={"trim": 16})
    start.verifier.tower = _tower(5, sees_sides=False, side_px=42)
    check_teacher(start, smaller, trimmed)
    with pytest.raises(InputError, match=r"it sees \[42, 42, 1\], the tower that it teaches needs \[44, 44, 1\]"):
        check_teacher(start, _tower(5, sees_sides=False), trimmed)
    start.tower = lambda: trimmed
    with pytest.raises(InputError, match="it sees 16 px less on each side than the tower that it teaches"):
        check_teacher(start, _tower(5, sees_sides=False), ALIGNED)
    with pytest.raises(InputError, match="it sees the aligned square of a chip, and would be shown whole chips"):
        check_teacher(start, _tower(5, sees_sides=False), WHOLE_CHIPS)


def test_who_was_trained_on_those_who_are_kept_out_is_not_asked(tmp_path: Path) -> None:
    split = {"train": ["a", "b"], "validation": ["c"], "test": ["d"], "cohort": ["e"]}

    def teacher(**before: list[str]) -> SimpleNamespace:
        return SimpleNamespace(path=tmp_path, split=lambda data: before)

    assert with_learned(teacher(train=["a", "e"], test=["d"], validation=["b", "c"]), split, []) == split
    beside = with_learned(teacher(train=["a", "x"], further=["y"]), split | {"start": ["w"]}, [])
    assert beside == split | {"start": ["w", "x", "y"]}, "of whom it alone knows there are no rates either"
    for learned in ({"train": ["a", "d"]}, {"train": [], "further": ["c"]}, {"train": [], "start": ["c"]}):
        with pytest.raises(InputError, match="trained on 1 of the people whom this training keeps out"):
            with_learned(teacher(**learned), split, [])

    def unknown(data: list[Path]) -> dict[str, list[str]]:
        raise InputError("nobody knows")

    with pytest.raises(InputError, match="whom it was trained on is not known here"):
        with_learned(SimpleNamespace(path=tmp_path, split=unknown), split, [])


def test_a_run_goes_on_with_the_same_teacher_alone(tmp_path: Path) -> None:
    one, other = (SimpleNamespace(path=tmp_path, verifier=SimpleNamespace(tower=_tower(5, sees_sides=True))) for _ in range(2))
    record: dict[str, dict[str, str]] = {"data": {}}
    for _ in range(2):
        check_same_teacher(one, record, tmp_path)
    with pytest.raises(InputError, match="which is asked, has changed since this run was started"):
        check_same_teacher(other, record, tmp_path)


def test_what_a_teacher_said_that_was_trained_on_those_who_are_kept_out_is_not_taught(tmp_path: Path) -> None:
    split = {"train": ["a", "b"], "validation": ["c"], "test": ["d"], "cohort": ["e"]}
    with pytest.raises(InputError, match="unreadable"):
        with_taught([tmp_path], split)

    def taught(**arrays: np.ndarray) -> None:
        np.savez(tmp_path / "teacher.npz", vectors=np.ones((1, 4)), **arrays)

    for harmless in ({}, {"learned": np.array((), str)}, {"learned": np.array(["a", "e"])}):
        taught(**harmless)
        assert with_taught([tmp_path], split) == split
    taught(learned=np.array(["a", "e", "x"]))
    assert with_taught([tmp_path], split) == split | {"start": ["x"]}
    for name in "cd":
        taught(learned=np.array(["a", name]))
        with pytest.raises(
            InputError, match=r"teacher\.npz: the teacher that was asked was trained on 1 of the people whom this training"
        ):
            with_taught([tmp_path, tmp_path], split)


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"loss__asked": "start"}, "loss.asked without loss.teacher"),
        ({"augment__mixed_chance": 0.5}, "a face laid over another is nobody's"),
        ({"augment__mixed_chance": 0.5, "loss__asked": "start", "loss__teacher": 1.0}, "loss.pairs and loss.contrast of 0"),
    ],
)
def test_recipes_that_contradict_themselves(tables: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Recipe().changed(**tables)
