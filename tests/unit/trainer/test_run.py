"""A run's folder: errors for damaged files and for those of another training, with what to do about them."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.contract.errors import InputError, StorageError
from edge.contract.spec import ChipSpec
from trainer.backend import keras
from trainer.dataset import Chips, Faces, Teaching
from trainer.epochs import learning_rate
from trainer.run import (
    LAST,
    RunProgress,
    open_run,
    read_run,
    restore_last,
    save_last,
)
from trainer.settings import Recipe, ScheduleSettings
from trainer.split import new_split, read_split, used_people
from trainer.start import check_cohort, load_sets
from trainer.verifier import Verifier, save_verifier


class Model:
    """The part of `Siamese` that a checkpoint uses."""

    def __init__(self, *shapes: tuple[int, ...]) -> None:
        self.variables = [keras.Variable(np.full(shape, 7.0, np.float32)) for shape in shapes]

    def state(self) -> list[keras.Variable]:
        return self.variables


def people(number: int = 12) -> Faces:
    names = [f"chips/p{n:02d}/{at}.png" for n in range(number) for at in "01"]
    chips = Chips.whole(np.zeros((2 * number, 32, 32), np.uint8))
    return Faces(
        ChipSpec(side_px=32), chips, np.arange(number).repeat(2), [f"p{n:02d}" for n in range(number)], "digest", names
    )


def test_a_checkpoint_gives_back_what_was_saved(tmp_path: Path) -> None:
    progressed = RunProgress(epoch=3, best_cost=0.2, best_epoch=2, history=[{"loss": 1.0}])
    save_last(tmp_path, Model((2, 3), ()), progressed)
    other = Model((2, 3), ())
    for variable in other.variables:
        variable.assign(np.zeros(variable.shape))
    assert restore_last(tmp_path, other) == progressed
    assert all((np.asarray(variable) == 7).all() for variable in other.variables)
    assert restore_last(tmp_path / "new", other) == RunProgress()


def test_a_checkpoint_that_is_damaged_or_of_another_network_is_told(tmp_path: Path) -> None:
    save_last(tmp_path, Model((2, 3)), RunProgress(epoch=1))
    for other in (Model((3, 2)), Model((2, 3), (4,))):
        with pytest.raises(InputError, match=r"last\.npz: damaged, or the checkpoint of another network"):
            restore_last(tmp_path, other)
    whole = (tmp_path / LAST).read_bytes()
    for damaged in (b"", whole[: len(whole) // 2]):
        (tmp_path / LAST).write_bytes(damaged)
        with pytest.raises(InputError, match="choose another --run folder, or delete this one"):
            restore_last(tmp_path, Model((2, 3)))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_record_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match="unreadable"):
        read_run(tmp_path)


@pytest.mark.parametrize("text", [None, "", "[]", '{"test": 3}'])
def test_a_split_that_is_none_is_told(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "split.json").write_text(text)
    with pytest.raises(InputError, match=r"split\.json: missing or unreadable"):
        read_split(tmp_path)


def test_a_run_goes_on_with_the_same_teacher_only(tmp_path: Path) -> None:
    faces = replace(people(), teaching=Teaching(np.ones((24, 4), np.float32), np.ones((24, 4), np.float32)))
    split = new_split(Recipe(), faces, [], faces)
    assert used_people(split) == {*faces.identities} - {*split["test"]}
    record = open_run(tmp_path / "run", Recipe(), faces, faces, [tmp_path], "fit", split)
    assert open_run(tmp_path / "run", Recipe(), faces, faces, [tmp_path], "fit", None) == record
    assert read_split(tmp_path / "run") == split
    other = replace(faces, teaching=Teaching(np.full((24, 4), 2, np.float32), np.ones((24, 4), np.float32)))
    with pytest.raises(InputError, match="the teacher's vectors have changed"):
        open_run(tmp_path / "run", Recipe(), other, other, [tmp_path], "fit", None)
    del record["data"]["teacher_sha256"]  # an older run, whose record lacks the digest, can be resumed
    (tmp_path / "run/run.json").write_text(json.dumps(record))
    assert open_run(tmp_path / "run", Recipe(), other, other, [tmp_path], "fit", None) == record


def test_a_tower_sees_whole_chips_where_nothing_is_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.start.load_faces", lambda _: people())
    recipe = Recipe()
    assert load_sets([Path("data")], recipe)[0].spec.side_px == 32  # though the recipe's own chips are larger
    with pytest.raises(InputError, match=r"data: chips of 32 px, and a tower that sees 48 px.*prepare data --side 48"):
        load_sets([Path("data")], recipe.changed(tower__side=48))


def test_who_looks_alike_is_asked_of_a_teacher(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a teacher's vectors, batches would be drawn as if the recipe had not asked for people who look alike."""
    monkeypatch.setattr("trainer.teach.load_faces", lambda _: people())
    with pytest.raises(InputError, match="needs a teacher's vectors; run `trainer teach"):
        load_sets([tmp_path], Recipe().changed(batch__alike=0.5))


def test_a_cohort_of_too_few_is_told_before_the_training() -> None:
    recipe = Recipe().changed(tower__cohort=2)
    check_cohort(recipe, {"cohort": ["a", "b"], "further_cohort": ["c"]}, 3)
    with pytest.raises(InputError, match=r"tower\.cohort = 2: this data lends 2 people.*more than 2 are needed"):
        check_cohort(recipe, {"cohort": ["a"], "further_cohort": ["c"]}, 9)
    with pytest.raises(InputError, match=r"tower\.cohort = 2: this data lends 0 people"):
        check_cohort(
            recipe, {"cohort": ["a", "b"], "further_cohort": ["c"]}, 0
        )  # all of them are people whom the model must recognise
    check_cohort(Recipe(), {"cohort": [], "further_cohort": []}, 0)


def test_a_network_that_cannot_be_written_is_a_matter_of_storage(tmp_path: Path) -> None:
    pixels = keras.Input((4, 4, 1))
    tower = keras.Model(pixels, keras.layers.Flatten()(pixels))
    with pytest.raises(StorageError, match=r"tower\.keras: cannot write"):
        save_verifier(tmp_path / "gone", Verifier(tower, None, None))


@pytest.mark.parametrize("left", ["checkpoint/last.npz", "align.json", "cohort.json", "tower.keras"])
def test_a_folder_whose_record_is_gone_is_not_begun_again(tmp_path: Path, left: str) -> None:
    """Its weights may have been trained on people whom a new split holds out."""
    path = tmp_path / "run" / left
    path.parent.mkdir(parents=True)
    path.write_bytes(b"of another training")
    faces = people()
    with pytest.raises(InputError, match=r"run: holds .* of another training, whose run\.json is gone.*or delete .*/run"):
        open_run(tmp_path / "run", Recipe(), faces, faces, [tmp_path], "fit", new_split(Recipe(), faces, [], faces))
    assert not (tmp_path / "run/run.json").exists()


@pytest.mark.parametrize(("began", "asked"), [({}, {"s3b0_1": 16}), ({"s3b0_1": 16}, {}), ({"s3b0_1": 16}, {"s3b0_2": 16})])
def test_a_run_goes_on_with_the_same_narrow_convolutions_only(
    tmp_path: Path, began: dict[str, int], asked: dict[str, int]
) -> None:
    faces = people()
    first, other = (
        Recipe().changed(tower__network="resnet", tower__init="dlib", tower__narrow=narrow) for narrow in (began, asked)
    )
    open_run(tmp_path, first, faces, faces, [tmp_path], "fit", new_split(first, faces, [], faces))
    open_run(tmp_path, first, faces, faces, [tmp_path], "fit", None)
    with pytest.raises(InputError, match=r"started with tower\.narrow = .*; choose another --run folder, or delete"):
        open_run(tmp_path, other, faces, faces, [tmp_path], "fit", None)


@pytest.mark.parametrize(("epochs", "steps", "warmup_steps", "peak_at"), [(40, 400, 250, 250), (5, 8, 200, 10), (1, 1, 200, 0)])
def test_the_learning_rate_falls_to_nothing_by_the_last_step(epochs: int, steps: int, warmup_steps: int, peak_at: int) -> None:
    rate = learning_rate(ScheduleSettings(epochs=epochs, steps=steps, warmup_steps=warmup_steps, learning_rate=4e-4))
    rates = [float(rate(step)) for step in range(epochs * steps + 1)]
    assert np.argmax(rates) == peak_at
    assert rates[peak_at] == pytest.approx(4e-4)
    assert rates[-1] == pytest.approx(0, abs=1e-9)
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[peak_at:]))
