"""A run's files: trainer and exporter read the head with code of their own and must agree; the exporter refuses incomplete runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.contract.errors import InputError
from edge.contract.fingerprint import chip_fingerprint
from edge.contract.modelfile import read_model
from edge.contract.score import Head, with_cohort
from edge.contract.spec import ChipSpec
from export.again import measure_again, read_held_out
from export.run import read_run
from tests.conftest import MODEL
from tests.unit.export.conftest import Small
from trainer.verifier import Verifier, load_verifier, save_verifier

PLAIN = Head(np.array([0.5, 0.0, 2.0, 1.0], np.float32), -1.5, normalise=False, squared=False)
WITH_COHORT = with_cohort(
    Head(np.ones(4, np.float32), 6.25, normalise=True, squared=True),
    np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32),
    3,
)


def write_run(folder: Path, small: Small, head: Head) -> None:
    """A finished run with three held-out pictures of two people."""
    spec, chips = ChipSpec(), np.zeros((3, 16, 16), np.uint8)
    save_verifier(folder, Verifier(small.network, head, None))
    np.savez(folder / "chips.npz", calibration=chips, test=chips, test_labels=np.array([0, 0, 1]), cohort=chips)
    (folder / "split.json").write_text("{}")
    record = {"state": "finished", "settings": {"tower": {}}, "chip": spec.to_json(), "fingerprint": chip_fingerprint(spec)}
    (folder / "run.json").write_text(json.dumps(record | {"run": "r", "command": "c", "versions": {}, "data": {}}))


@pytest.mark.parametrize("head", [PLAIN, WITH_COHORT], ids=["plain", "cohort"])
def test_trainer_and_exporter_read_the_same_head(head: Head, small: Small, tmp_path: Path) -> None:
    write_run(tmp_path, small, head)
    for found in (load_verifier(tmp_path).head, read_run(tmp_path).head):
        assert found.weights.tolist() == head.weights.tolist()
        assert (found.bias, found.normalise, found.squared) == (head.bias, head.normalise, head.squared)
        assert (found.cohort is None) == (head.cohort is None)
        if found.cohort and head.cohort:
            assert np.array_equal(found.cohort.embeddings, head.cohort.embeddings)
            assert (found.cohort.nearest, found.cohort.ceiling) == (head.cohort.nearest, head.cohort.ceiling)


@pytest.mark.parametrize("lost", ["split.json", "head.npz", "chips.npz", "tower.keras"])
def test_a_run_without_one_of_its_files_is_no_defect(lost: str, small: Small, tmp_path: Path) -> None:
    write_run(tmp_path, small, PLAIN)
    (tmp_path / lost).unlink()
    with pytest.raises(InputError, match="unreadable run"):
        read_run(tmp_path)


@pytest.mark.parametrize("key", ["run", "command", "versions", "data", "chip", "fingerprint"])
def test_a_run_that_does_not_tell_all_of_itself_is_no_defect(key: str, small: Small, tmp_path: Path) -> None:
    write_run(tmp_path, small, PLAIN)
    record = json.loads((tmp_path / "run.json").read_text())
    del record[key]
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=f"run.json has no {key}"):
        read_run(tmp_path)


@pytest.mark.parametrize("labels", [[], [0], [0, 0], [0, 1]], ids=["nobody", "one picture", "one person", "one picture each"])
def test_held_out_people_of_whom_nothing_can_be_compared(labels: list[int], small: Small, tmp_path: Path) -> None:
    """In a run's folder, and in a file that `trainer held-out` wrote for a set with one picture of each person."""
    write_run(tmp_path, small, PLAIN)
    chips = np.zeros((len(labels), 16, 16), np.uint8)
    told = json.dumps({"split": "0" * 64, "chip": ChipSpec().to_json()})
    np.savez(tmp_path / "chips.npz", calibration=chips, test=chips, test_labels=np.array(labels, int), cohort=chips, told=told)
    for read, path in ((read_run, tmp_path), (read_held_out, tmp_path / "chips.npz")):
        with pytest.raises(InputError, match="one of them with two pictures"):
            read(path)


def test_nothing_is_measured_on_chips_that_are_cut_otherwise(tmp_path: Path) -> None:
    """Two models of one split may take chips of the same size that show different parts of the face."""
    model, path = read_model(MODEL), tmp_path / "held-out.npz"
    chips = np.zeros((4, *model.chip.shape), np.uint8)
    spec = replace(model.chip, scale=2.5)
    told = json.dumps({"split": model.record["provenance"]["files"]["split.json"], "chip": spec.to_json()})
    np.savez(path, test=chips, test_labels=np.array([0, 0, 1, 1]), told=told)
    with pytest.raises(InputError, match="takes chips cut as"):
        measure_again(model, read_held_out(path), tmp_path / "out.tflite", template=model.template, command="")
    assert not (tmp_path / "out.tflite").exists()
