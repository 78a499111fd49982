"""Recorded operating points compared with a new measurement: what holds, what does not, and the wording."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.contract.chip import as_source, cut_chip, to_grey
from edge.contract.detector import load_detector
from edge.contract.errors import InputError
from edge.contract.modelfile import OperatingPoint, TemplateKind, read_model
from edge.contract.runtime import Embedder
from export.measure import operating_points
from export.run import Run
from export.verify import check_points, verify_on
from tests.conftest import MODEL
from trainer.choices import Several
from trainer.prepare import find_face
from trainer.synth.draw import draw_frame
from trainer.synth.person import Person
from trainer.synth.view import View

IMPOSTOR = np.linspace(0, 1, 40_000, endpoint=False)


def genuine(missed: int) -> np.ndarray:
    """A thousand scores, `missed` of them below the threshold for FMR 1e-2, which is 0.99."""
    return np.concatenate([np.full(missed, 0.5), np.full(1000 - missed, 0.999)])


@pytest.fixture(scope="module")
def point() -> OperatingPoint:
    """The operating point at FMR 1e-2, with 50 of 1,000 missed: 95 % interval 3.7 to 6.5 %."""
    return next(OperatingPoint(**one) for one in operating_points(genuine(50), IMPOSTOR) if one["target_fmr"] == 1e-2)


@pytest.mark.parametrize(
    ("missed", "holds", "told"),
    [
        (50, True, "5.000% (50/1000, 95 % 3.734%-6.539%), recorded 5.000% (50/1000, 95 % 3.734%-6.539%): as many are missed"),
        (70, True, "as many are missed as was recorded, within chance"),
        (
            100,
            False,
            "10.000% (100/1000, 95 % 8.211%-12.029%), recorded 5.000% (50/1000, 95 % 3.734%-6.539%): more are missed than",
        ),
        (20, True, "fewer are missed than was recorded, beyond chance: these people are easier"),
    ],
)
def test_the_fnmr_is_held_against_the_recorded_one(point: OperatingPoint, missed: int, holds: bool, told: str) -> None:
    fmr, fnmr = check_points([point], genuine(missed), IMPOSTOR)
    assert (fmr.name, fmr.passed) == ("FMR at fmr-0.01", True)
    assert (fnmr.name, fnmr.passed) == ("FNMR at fmr-0.01", holds)
    assert told in fnmr.found


@pytest.mark.parametrize(
    ("shift", "holds", "told"),
    [
        (0.0, True, "1.000% (400/40000"),
        (0.0, True, "target 1.000%: as many strangers match as its target allows, within chance"),
        (0.01, False, "more strangers match than its target allows, beyond chance"),
        (-0.005, True, "fewer strangers match than its target allows, beyond chance: these people are easier"),
    ],
)
def test_the_fmr_is_held_against_its_target(point: OperatingPoint, shift: float, holds: bool, told: str) -> None:
    fmr, fnmr = check_points([point], genuine(50), IMPOSTOR + shift)
    assert fmr.passed == holds
    assert told in fmr.found
    assert fnmr.passed


def test_a_file_that_misses_more_of_a_runs_people_than_it_says_does_not_hold(tmp_path: Path) -> None:
    """Drawn people, first with their own pictures, then with pictures of others under their names."""
    model = read_model(MODEL)
    detector, chips, labels = load_detector(model.chip.detector), [], []
    for person in range(25):
        for take in range(4):
            rng = np.random.default_rng((person, take))
            frame = draw_frame(Person.from_seed(9_000_000 + person), View.random(rng), rng, width=160, height=160)
            box = find_face(detector, to_grey(frame), Several.LARGEST)
            if not isinstance(box, str):
                chips.append(cut_chip(as_source(frame, model.chip), box, model.chip))
                labels.append(person)
    assert len(chips) > 90
    none = np.empty((0, *model.chip.shape), np.uint8)
    run = Run(
        tmp_path, {}, model.chip, None, model.head, TemplateKind.PLAIN, None, None, none, np.stack(chips), np.array(labels), none,
        {"split.json": model.record["provenance"]["files"]["split.json"]},
    )  # fmt: skip
    held = {check.name: check for check in verify_on(model, run)}
    assert len(held) == 2 * len(model.operating_points)
    assert all(check.passed for name, check in held.items() if name.startswith("FNMR")), held
    mixed = {check.name: check for check in verify_on(model, replace(run, test_labels=np.arange(len(labels)) % 25))}
    lost = mixed[f"FNMR at {model.operating_points[-1].name}"]
    assert not lost.passed
    assert "more are missed than was recorded, beyond chance" in lost.found
    other = replace(run, digests={"split.json": "0" * 64})
    with pytest.raises(InputError, match="this one has 000000000000: who is held out here may have been trained on there"):
        verify_on(model, other)


def test_a_file_measured_again_with_other_templates_is_held_against_its_run_with_the_same(tmp_path: Path) -> None:
    """As after `export measure --template mirrored`. The run's network is the file's own, so the two must agree."""
    model = read_model(MODEL)
    assert model.aligner is None
    alone = Embedder(model)
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 4)
    faces = rng.integers(0, 256, (10, *model.chip.shape))[labels]
    chips = np.clip(0.6 * faces + rng.integers(0, 100, faces.shape), 0, 255).astype(np.uint8)
    none = np.empty((0, *model.chip.shape), np.uint8)

    def tower(pixels: np.ndarray, training: bool) -> np.ndarray:
        return np.stack([alone.embed(np.ascontiguousarray(chip[..., 0].astype(np.uint8))) for chip in pixels])

    files = model.record["provenance"]["files"]
    run = Run(
        tmp_path, {}, model.chip, tower, model.head, TemplateKind.PLAIN, None, None, none, chips, labels, none, files
    )  # fmt: skip
    for kind in TemplateKind:
        held = {check.name: check for check in verify_on(replace(model, template=kind), run)}
        assert held["measured: rise of the EER"].found.startswith("rise of the EER 0 (")
        assert held["measured: FMR at the float threshold of 0.1"].passed
        assert any(name.startswith("measured: loss of TAR") and " 0 (" in check.found for name, check in held.items()), held
