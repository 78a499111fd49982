"""From drawn people to a model file with the commands, killed and resumed on the way. The report, the export and their refusals."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.contract.errors import ModelUnproven
from edge.contract.modelfile import read_model
from edge.contract.runtime import Embedder
from edge.contract.score import score_all_pairs
from export import measure
from export.graph import read_graph
from tests.commands import typed, typed_here

FIT = (
    "fit",
    "--data",
    "data",
    "--run",
    "run",
    "--epochs",
    "3",
    "--steps",
    "8",
    "--people",
    "12",
    "--strangers",
    "4",
    "--seed",
    "3",
)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, drawn: Callable[[Path, int], None]) -> Path:
    """A folder with a prepared data set and a run that was killed after its first epoch, then finished after the data set had moved."""
    folder = tmp_path_factory.mktemp("workshop")
    drawn(folder / "people", 60)
    typed_here(folder, "trainer", "import", "lfw", "people", "--data", "data")
    typed_here(folder, "trainer", "prepare", "data", "--several", "largest", "--json")
    fit = subprocess.Popen(
        [sys.executable, "-m", "trainer", *FIT], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while fit.poll() is None and not (folder / "run/checkpoint/last.npz").exists():
        time.sleep(0.05)
    fit.send_signal(signal.SIGKILL)
    assert fit.wait() == -signal.SIGKILL
    typed(folder, "export", "tflite", "run", code=3)  # an unfinished run is refused
    (folder / "data").rename(folder / "moved")
    typed_here(folder, "trainer", *FIT[:2], "moved", *FIT[3:])
    (folder / "moved").rename(folder / "data")
    typed(folder, "export", "tflite", "--quantize", "run", "-o", "int8.tflite")
    return folder


def test_a_killed_run_goes_on_where_it_was(workshop: Path) -> None:
    with (workshop / "run/history.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]
    assert not (workshop / "run/checkpoint").exists()


def test_the_run_folder_holds_what_a_person_looks_for(workshop: Path) -> None:
    run = workshop / "run"
    for name in ("loss.png", "scores.png", "pairs.png"):
        assert cv2.imread(str(run / name)).shape[1] > 500
    assert "Final results" in (run / "report.html").read_text()
    assert list((run / "tensorboard").glob("events*"))
    record = json.loads((run / "run.json").read_text())
    assert record["state"] == "finished"
    assert record["data"]["people"] == 60


def test_no_person_is_in_two_parts_of_the_split(workshop: Path) -> None:
    split = json.loads((workshop / "run/split.json").read_text())
    everyone = [name for part in ("train", "validation", "test", "cohort") for name in split[part]]
    assert len(everyone) == len(set(everyone)) == 60


def test_a_finished_run_is_not_trained_again_and_another_one_is_refused(workshop: Path) -> None:
    before = (workshop / "run/tower.keras").read_bytes()
    assert "3 epochs" in typed_here(workshop, "trainer", *FIT).stdout
    assert (workshop / "run/tower.keras").read_bytes() == before
    other = typed_here(workshop, "trainer", *FIT[:-1], "4", code=3)
    assert "error[input]" in other.stderr
    assert "seed" in other.stderr


def test_the_int8_file_measures_itself_on_people_it_never_saw(workshop: Path) -> None:
    model = read_model(workshop / "int8.tflite")
    assert model.record["parity"]["median_cosine"] > 0.97
    operators = set(read_graph(model.tower.flatbuffer).versions())
    assert operators.isdisjoint({"SHAPE", "STRIDED_SLICE", "PACK", "QUANTIZE", "DEQUANTIZE"})
    assert all(gate.passed for gate in model.gates)
    with np.load(workshop / "run/chips.npz") as chips:
        tower = Embedder(model)
        embeddings = np.stack([tower.embed(chip) for chip in chips["test"]])
        genuine, impostor = score_all_pairs(model.head, embeddings, chips["test_labels"])
        assert len(chips["cohort"]) == len(model.cohort)
    assert model.operating_points
    for point in model.operating_points:
        assert (int((impostor >= point.threshold).sum()), impostor.size) == (point.false_matches, point.impostor_trials)
        assert (int((genuine < point.threshold).sum()), genuine.size) == (point.false_non_matches, point.genuine_trials)


def test_export_is_deterministic(workshop: Path) -> None:
    typed_here(workshop, "export", "tflite", "--quantize", "run", "-o", "again.tflite")
    one, two = (read_model(workshop / name) for name in ("int8.tflite", "again.tflite"))
    told = [model.record["provenance"]["export"].pop("command") for model in (one, two)]
    assert told[0] != told[1]  # they differ in the name of the output file only
    assert one.record == two.record
    assert one.tower.flatbuffer == two.tower.flatbuffer


def test_verify_measures_the_file_again(workshop: Path) -> None:
    done = json.loads(typed_here(workshop, "export", "verify", "int8.tflite", "--data", "run", "--json").stdout)
    found = {check["name"]: check["found"] for check in done["checks"]}
    assert done["passed"]
    assert any(name.startswith("measured:") for name in found)
    points = read_model(workshop / "int8.tflite").operating_points
    for point in points:
        # The same counts: it is the same file, on the same people, in the runtime that measured it.
        assert f"({point.false_matches}/{point.impostor_trials}," in found[f"FMR at {point.name}"]
        assert found[f"FNMR at {point.name}"].count(f"({point.false_non_matches}/{point.genuine_trials},") == 2


def test_the_report_of_an_export_shows_its_layers(workshop: Path) -> None:
    told = json.loads((workshop / "run/export-int8/networks.json").read_text())
    assert told["tower"]["layers"]
    assert told["tower"]["ranges"]
    assert cv2.imread(str(workshop / "run/export-int8/layers.png")).shape[1] > 500
    assert "<svg" in (workshop / "run/export-int8/graph.svg").read_text()


def test_a_missed_gate_refuses_and_force_writes_it_into_the_file(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate is moved out of reach: a median cosine of more than 1."""
    words = ("export", "tflite", "--quantize", "run", "-o", "forced.tflite")
    with monkeypatch.context() as moved:
        moved.setattr(measure, "MIN_MEDIAN_COSINE", 1.1)
        done = typed_here(workshop, *words, code=5)
        assert "median cosine to float" in done.stderr
        assert "--force" in done.stderr
        assert not (workshop / "forced.tflite").exists()
        assert "MISSED" in typed_here(workshop, *words, "--force").stdout
    with pytest.raises(ModelUnproven, match="allow_failed_gate"):
        read_model(workshop / "forced.tflite").operating_point(1e-1)
    typed_here(workshop, "export", "verify", "forced.tflite", code=5)


@pytest.mark.parametrize("variant", ["int16x8", "dynamic"])
def test_every_variant_runs_through_the_same_code(workshop: Path, variant: str) -> None:
    typed_here(workshop, "export", "tflite", "--quantize", variant, "run", "-o", f"{variant}.tflite")
    model = read_model(workshop / f"{variant}.tflite")
    assert model.record["quantisation"] == variant
    assert model.tower.input.dtype == "float32"
    assert model.record["parity"]["median_cosine"] > 0.99


def test_the_float_file_has_the_same_shape(workshop: Path) -> None:
    done = typed_here(workshop, "export", "tflite", "run", "-o", "float.tflite", "--json")
    model = read_model(workshop / "float.tflite")
    assert model.tower.input.dtype == model.tower.output.dtype == "float32"
    assert json.loads(done.stdout)["model_id"] == model.model_id
    assert model.record["parity"]["lowest_cosine"] > 0.9999


def test_two_pictures_are_compared(workshop: Path) -> None:
    pictures = [f"people/person-0001/0{n}.png" for n in (0, 1)]
    told = json.loads(typed_here(workshop, "trainer", "compare", *pictures, "--run", "run", "--json").stdout)
    assert 0 <= told["similarity"] <= 1
    assert cv2.imread(str(workshop / "compare.png")).shape[1] > 300


BAD = [
    (("trainer", "compare", "none.png", "none.png", "--run", "run"), "none.png: cannot read"),
    (("trainer", "compare", "people/person-0001/00.png", "plain.png", "--run", "run"), "plain.png: no face found"),
    (("trainer", "compare", "plain.png", "plain.png", "--run", "people"), "people"),
    (("trainer", "fit", "--data", "people", "--run", "run2"), "people: not prepared"),
    (
        ("trainer", "fit", "--data", "data", "--run", "run2", "--recipe", "none"),
        "the included recipes are compact, koch-omniglot",
    ),
    (("trainer", "fit", "--data", "data", "--run", "run2", "--recipe", "typo.toml"), "tower.netwrok"),
    (("trainer", "fit", "--data", "data", "--run", "run2", "--init", "people"), "'people': neither 'dlib' nor"),
    (("trainer", "fit", "--data", "data", "--run", "run2", "--recipe", "transfer"), "run `trainer teach data`"),
    (("trainer", "evaluate", "people", "--data", "data"), "people: not a run folder"),
    (("trainer", "evaluate", "broken", "--data", "data"), "broken: unreadable run"),
    (("trainer", "fit", "--data", "data", "--run", "run2", "--network", "koch"), "prepare --side 105"),
    (("trainer", "fit", "--data", "data", "--run", "run2", "--seed", "4294967296"), "seed = 4294967296"),
    (("trainer", "prepare", "none"), "none: no such folder"),
    (("trainer", "import", "lfw", "none"), "none: no such file or folder"),
    (("trainer", "capture", "../x", "--camera", "people"), "error[name]"),
    (("trainer", "demo", "--folder", "people"), "people: holds something else"),
    (("export", "tflite", "none"), "none: not a run folder"),
    (("export", "tflite", "broken"), "broken: unreadable run"),
]


@pytest.fixture(scope="module")
def spoiled(workshop: Path) -> Path:
    """The workshop with a picture without a face, a recipe with a typo and a run with a truncated network."""
    cv2.imwrite(str(workshop / "plain.png"), np.full((160, 160, 3), 128, np.uint8))
    (workshop / "typo.toml").write_text('[tower]\nnetwrok = "koch"\n')
    shutil.copytree(workshop / "run", workshop / "broken")
    (workshop / "broken/tower.keras").write_bytes(b"cut")
    return workshop


@pytest.mark.parametrize(("words", "told"), BAD)
def test_bad_input_is_named(spoiled: Path, words: tuple[str, ...], told: str) -> None:
    assert told in typed_here(spoiled, *words, code=3).stderr
    assert not (spoiled / "run2/tower.keras").exists()


@pytest.mark.parametrize(("words", "told"), [BAD[1], BAD[-1]])
def test_a_process_ends_with_the_same_message_and_code(spoiled: Path, words: tuple[str, ...], told: str) -> None:
    assert told in typed(spoiled, *words, code=3).stderr


def test_a_model_that_cannot_be_written_leaves_nothing(workshop: Path) -> None:
    (workshop / "taken").write_text("a file")
    done = typed_here(workshop, "export", "tflite", "run", "-o", "taken/model.tflite", code=9)
    assert "error[storage]: taken/model.tflite" in done.stderr
    assert os.listdir(workshop).count("taken") == 1
