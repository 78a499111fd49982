"""A run's head, which trainer and exporter read each for itself: what one writes is what both read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge.contract.fingerprint import chip_fingerprint
from edge.contract.score import Head, with_cohort
from edge.contract.spec import ChipSpec
from export.run import read_run
from tests.unit.export.conftest import Small
from trainer.verifier import Verifier, load_verifier, save_verifier

PLAIN = Head(np.array([0.5, 0.0, 2.0, 1.0], np.float32), -1.5, normalise=False, squared=False)
WITH_COHORT = with_cohort(
    Head(np.ones(4, np.float32), 6.25, normalise=True, squared=True),
    np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32),
    3,
)


@pytest.mark.parametrize("head", [PLAIN, WITH_COHORT], ids=["plain", "cohort"])
def test_trainer_and_exporter_read_the_same_head(head: Head, small: Small, tmp_path: Path) -> None:
    spec, chips = ChipSpec(), np.zeros((1, 16, 16), np.uint8)
    save_verifier(tmp_path, Verifier(small.network, head, None))
    np.savez(tmp_path / "chips.npz", calibration=chips, test=chips, test_labels=np.zeros(1, int), cohort=chips)
    (tmp_path / "split.json").write_text("{}")
    record = {"state": "finished", "settings": {"tower": {}}, "chip": spec.to_json(), "fingerprint": chip_fingerprint(spec)}
    (tmp_path / "run.json").write_text(json.dumps(record))
    for found in (load_verifier(tmp_path).head, read_run(tmp_path).head):
        assert found.weights.tolist() == head.weights.tolist()
        assert (found.bias, found.normalise, found.squared) == (head.bias, head.normalise, head.squared)
        assert (found.cohort is None) == (head.cohort is None)
        if found.cohort and head.cohort:
            assert np.array_equal(found.cohort.embeddings, head.cohort.embeddings)
            assert (found.cohort.nearest, found.cohort.ceiling) == (head.cohort.nearest, head.cohort.ceiling)
