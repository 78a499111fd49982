"""A recipe with a teacher and an aligner, on drawn people, from the data set to the device's file. The teacher's answers are made up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.contract.align import crop, shrink
from edge.contract.modelfile import TemplateKind, read_model
from edge.contract.runtime import Embedder
from edge.contract.score import score_all_pairs
from tests.commands import typed_here
from trainer.backend import keras
from trainer.dataset import Teaching, load_faces
from trainer.teach import load_with_teaching, write_teaching
from trainer.verifier import load_verifier

RECIPE = """
[chip]
side = 96
scale = 1.4
colour = true
[tower]
side = 64
align = true
align_steps = 30
normalise = true
squared = true
mirrored_templates = true
spread = 3.0
cohort = 3
[loss]
pairs = 0.0
teacher = 20.0
contrast = 0.1
[batch]
people = 12
strangers = 4
alike = 0.5
[augment]
tint = 0.05
grey_chance = 0.3
coarse_chance = 0.5
[schedule]
epochs = 2
steps = 6
average = 0.9
"""
FIT = ("fit", "--recipe", "own.toml", "--data", "data", "--data", "more", "--seed", "1")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, drawn: Callable[[Path, int], None]) -> Path:
    """Two taught data sets that share people, and a finished run on both with its int8 file."""
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "own.toml").write_text(RECIPE)
    for name, people in (("data", 60), ("more", 75)):
        drawn(folder / f"people-{name}", people)
        typed_here(folder, "trainer", "import", "people", f"people-{name}", "--data", name)
        typed_here(folder, "trainer", "prepare", name, "--recipe", "own.toml", "--several", "largest", "--json")
        faces = load_faces(folder / name)
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(200, 128))[faces.labels] + 0.1 * rng.normal(size=(len(faces.labels), 128))
        placements = np.array([0.0, 0.02, 0.7, 0.0]) + rng.normal(size=(len(faces.labels), 4)) * [0.01, 0.01, 0.02, 2.0]
        write_teaching(
            folder / name, faces.names, Teaching(vectors.astype(np.float32), placements.astype(np.float32)), made_by="a test"
        )
    typed_here(folder, "trainer", *FIT, "--run", "run")
    typed_here(folder, "export", "tflite", "--quantize", "run", "-o", "int8.tflite")
    return folder


def _mean(figures: dict[str, float]) -> float:
    return sum(figures.values()) / len(figures)


def _finished_eer(run: Path) -> float:
    """The validation EER of a run's tower as it was saved: damped, if that improved its figures."""
    spread = json.loads((run / "run.json").read_text())["spread"]
    return float(spread["after" if spread["damped"] else "before"]["val_eer"])


def test_nobody_of_a_further_set_is_trained_on_who_is_kept_out(workshop: Path) -> None:
    split = json.loads((workshop / "run/split.json").read_text())
    kept = {name for part in ("test", "validation", "cohort") for name in split[part]}
    assert len(split["further"]) == 15  # the other sixty are in the first set
    assert kept.isdisjoint({*split["train"], *split["further"]})
    record = json.loads((workshop / "run/run.json").read_text())
    assert record["trained_on"]["people"] == 75 - len(kept)
    assert record["head"]["chosen"] in ("equal", "fitted")
    assert record["aligner"]["validation_pictures"] > 0
    assert 0 <= record["head"]["validation_without_cohort"]["equal"]["eer"] <= 1
    assert record["spread"]["damped"] is (_mean(record["spread"]["after"]) < _mean(record["spread"]["before"]))
    assert record["precision"] in ("float32", "mixed_bfloat16")


def test_the_device_sees_the_square_that_the_aligner_found(workshop: Path) -> None:
    model = read_model(workshop / "int8.tflite")
    assert model.aligner is not None
    assert model.head.squared
    assert model.head.normalise
    assert model.head.cohort is not None
    assert model.head.cohort.nearest == 3
    split = json.loads((workshop / "run/split.json").read_text())
    chosen = json.loads((workshop / "run/cohort.json").read_text())
    assert sorted(chosen) == sorted(
        split["cohort"] + split["train"]
    )  # few enough for all of them; the further set counts as people of the user's own
    assert len(model.cohort) == len(chosen)
    assert (model.chip.side_px, model.tower.input.shape) == (96, (1, 64, 64, 3))
    with np.load(workshop / "run/chips.npz") as saved:
        chip = saved["test"][0]
    embedder = Embedder(model)
    assert embedder._aligner is not None
    placement = model.aligner.spec.placement(embedder._aligner.run(shrink(chip, 24)))
    assert np.array_equal(embedder.view(chip), crop(chip, placement, 64))
    assert embedder.embed(chip).shape == (128,)
    assert model.record["parity"]["median_cosine"] > 0.97


def test_a_start_is_the_first_to_beat(workshop: Path) -> None:
    typed_here(
        workshop, "trainer", *FIT, "--run", "again", "--init", "run", "--epochs", "1", "--steps", "2", "--learning-rate", "1e-7"
    )
    record = json.loads((workshop / "again/run.json").read_text())
    assert record["aligner"]["taken_from"] == "run"
    assert record["start"]["val_eer"] == pytest.approx(_finished_eer(workshop / "run"))
    assert json.loads((workshop / "again/split.json").read_text())["start"] == []


def test_a_start_that_cannot_be_leaves_no_folder(workshop: Path) -> None:
    """A folder begun with the bad start would refuse the corrected command as another training."""
    words = ("fit", "--data", "data", "--seed", "1", "--run", "other", "--init", "run", "--network")
    assert "not of this recipe's network and size" in typed_here(workshop, "trainer", *words, "compact", code=3).stderr
    assert "dlib's weights are for" in typed_here(workshop, "trainer", *words[:-2], "dlib", code=3).stderr
    assert not (workshop / "other").exists()


def test_whom_the_start_knew_is_written_down(workshop: Path) -> None:
    """They are in none of this run's sets, but the network has seen them."""
    words = ("--recipe", "own.toml", "--data", "data", "--seed", "1", "--epochs", "1", "--steps", "1")
    typed_here(workshop, "trainer", "fit", *words, "--run", "alone", "--init", "run")
    split, before = (json.loads((workshop / run / "split.json").read_text()) for run in ("alone", "run"))
    assert split["start"] == sorted(before["further"]) != []


def test_a_file_is_a_start_as_its_run_is(workshop: Path) -> None:
    """Whom it was trained on follows from the data sets, and what it learned is in the file, so its run is not needed."""
    words = ("--run", "from-file", "--init", "int8.tflite", "--epochs", "1", "--steps", "2", "--learning-rate", "1e-7")
    typed_here(workshop, "trainer", *FIT[:-1], "9", *words)
    record = json.loads((workshop / "from-file/run.json").read_text())
    assert record["aligner"]["taken_from"] == "int8.tflite"
    assert record["start"]["val_eer"] == pytest.approx(_finished_eer(workshop / "run"), abs=0.03)
    split, before = (json.loads((workshop / run / "split.json").read_text()) for run in ("from-file", "run"))
    assert split == {part: sorted(names) for part, names in before.items()} | {"start": []}
    typed_here(workshop, "export", "tflite", "--quantize", "from-file", "-o", "again.tflite")
    assert read_model(workshop / "again.tflite").record["parity"]["median_cosine"] > 0.97
    nobody = typed_here(workshop, "trainer", "fit", "--data", "more", "--init", "int8.tflite", "--run", "none", code=3)
    assert "whom it was trained on is not known here" in nobody.stderr
    assert not (workshop / "none").exists()


def test_a_file_is_a_teacher(workshop: Path) -> None:
    """Its answers about a set are what training on that set is then held to, without dlib."""
    said = (workshop / "more/teacher.npz").read_bytes()
    alone = typed_here(workshop, "trainer", "teach", "more", "--teacher", "int8.tflite", code=3)
    assert "whom it was trained on is not known here" in alone.stderr
    typed_here(workshop, "trainer", "teach", "more", "--teacher", "int8.tflite", "--data", "data", "--data", "more")
    faces = load_with_teaching(workshop / "more")
    model = read_model(workshop / "int8.tflite")
    embedder = Embedder(model)
    assert faces.teaching is not None
    wanted = np.stack([embedder.template(chip) for chip in faces.chips[np.arange(8)]])
    vectors = faces.teaching.vectors[:8]
    cosine = (vectors * wanted).sum(1) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(wanted, axis=1)
    assert np.median(cosine) > 0.95
    # With `contrast` alone, too: the pictures' vectors start from the teacher's answers.
    (workshop / "contrast.toml").write_text(RECIPE.replace("teacher = 20.0", "teacher = 0.0"))
    for recipe in ("own.toml", "contrast.toml"):
        words = [*FIT[:-1], "77", "--recipe", recipe, "--run", "none"]
        other_seed = typed_here(workshop, "trainer", *words, code=3)
        assert "more/teacher.npz: the teacher that was asked was trained on" in other_seed.stderr
        assert not (workshop / "none").exists()
    (workshop / "more/teacher.npz").write_bytes(said)
    assert "neither 'dlib' nor" in typed_here(workshop, "trainer", "teach", "more", "--teacher", "none.tflite", code=3).stderr


def test_a_file_is_asked_anew_about_what_each_step_sees(workshop: Path) -> None:
    own = (
        (workshop / "own.toml")
        .read_text()
        .replace("contrast = 0.1", 'asked = "start"')
        .replace("tint", "mixed_chance = 0.5\ntint")
    )
    (workshop / "asks.toml").write_text(own)
    words = ("fit", "--recipe", "asks.toml", *FIT[3:], "--epochs", "1", "--steps", "3")
    refused = typed_here(workshop, "trainer", *words, "--run", "asks", code=3)
    assert "only a run or a model file can be asked" in refused.stderr
    assert not (workshop / "asks").exists()
    typed_here(workshop, "trainer", *words, "--run", "asks", "--init", "int8.tflite")
    settings = json.loads((workshop / "asks/run.json").read_text())["settings"]
    assert (settings["loss"]["asked"], settings["augment"]["mixed_chance"]) == ("start", 0.5)
    # A tower of smaller squares is taught by one that sees the same faces larger.
    (workshop / "asks.toml").write_text(own.replace("side = 64", "side = 48"))
    typed_here(workshop, "trainer", *words, "--run", "others-word", "--teacher", "run")
    record = json.loads((workshop / "others-word/run.json").read_text())
    assert record["settings"]["loss"]["asked"] == "run"
    assert record["aligner"]["spec"]["side_px"] == 48


def test_a_run_goes_on_with_the_rounding_of_its_file(workshop: Path) -> None:
    words = ("--run", "rounded", "--init", "run", "--quantised", "--epochs", "2", "--steps", "2", "--learning-rate", "1e-5")
    typed_here(workshop, "trainer", *FIT, *words)
    record = json.loads((workshop / "rounded/run.json").read_text())
    assert record["settings"]["tower"]["quantised"] is True
    typed_here(workshop, "export", "tflite", "--quantize", "rounded", "-o", "rounded.tflite")
    model = read_model(workshop / "rounded.tflite")
    assert {layer.name for layer in keras.models.load_model(workshop / "rounded/tower.keras").layers}.isdisjoint(
        {"relu1_values"}
    )
    assert model.record["parity"]["median_cosine"] > 0.97


def test_the_report_and_the_comparison_are_on_people_unseen(workshop: Path) -> None:
    split = json.loads((workshop / "run/split.json").read_text())
    (workshop / "groups.tsv").write_text("".join(f"{name}\tdrawn\n" for name in split["test"]))
    words = ("int8.tflite", "--run", "run", "--data", "data", "--groups", "groups.tsv", "--json")
    figures = json.loads(typed_here(workshop, "trainer", "evaluate", *words).stdout)
    assert isinstance(figures["groups"], list)
    assert figures["people"] == len(split["test"])
    page = (workshop / "evaluation/report.html").read_text()
    assert "data:image/png;base64," in page
    assert 'src="http' not in page
    rows = json.loads(
        typed_here(
            workshop, "trainer", "compare-models", "int8.tflite", "run", "--run", "run", "--data", "data", "--json"
        ).stdout
    )
    assert [row["genuine"] for row in rows] == [figures["genuine"]] * 2
    more = rows[1]["more_than_first"]["eer"]
    assert more[0] == pytest.approx(rows[1]["eer"][0] - rows[0]["eer"][0])
    assert more[1] <= more[0] <= more[2]
    assert rows[0]["bytes"] == (workshop / "int8.tflite").stat().st_size


def test_a_file_tells_whom_it_never_saw(workshop: Path) -> None:
    """Its run is not needed: the split follows from the names and the seed."""
    by_run, alone = (
        json.loads(typed_here(workshop, "trainer", "evaluate", "int8.tflite", "--data", "data", *words, "--json").stdout)
        for words in (("--run", "run"), ("--data", "more"))
    )
    assert (alone["people"], alone["eer"], alone["tar"]) == (by_run["people"], by_run["eer"], by_run["tar"])
    words = ("compare-models", "int8.tflite", "--data", "data", "--data", "more", "--out", "beside", "--json")
    (row,) = json.loads(typed_here(workshop, "trainer", *words).stdout)
    assert (row["genuine"], row["eer"]) == (by_run["genuine"], by_run["eer"])
    nobody = typed_here(workshop, "trainer", "compare-models", "dlib", "--data", "data", code=3)
    assert "name the run or the model file" in nobody.stderr
    other = typed_here(workshop, "trainer", "evaluate", "int8.tflite", "--data", "more", code=3)
    assert "or give its own run with --run" in other.stderr


def test_a_file_is_measured_again_without_its_run(workshop: Path) -> None:
    held_out = ("--data", "data", "--data", "more", "--out")
    typed_here(workshop, "trainer", "held-out", "int8.tflite", *held_out, "held-out.npz")
    again = ("export", "measure", "int8.tflite", "--held-out", "held-out.npz", "-o")
    typed_here(workshop, *again, "again.tflite")
    typed_here(workshop, *again, "plain.tflite", "--template", "plain")
    model, same, plain = (read_model(workshop / f"{name}.tflite") for name in ("int8", "again", "plain"))
    assert model.template is same.template is TemplateKind.MIRRORED
    assert (same.model_id, same.operating_points, same.gates) == (model.model_id, model.operating_points, model.gates)
    assert plain.tower.flatbuffer == model.tower.flatbuffer
    assert model.head.doubt == same.head.doubt == load_verifier(workshop / "run").head.doubt
    assert model.head.doubt
    assert plain.head.doubt is None
    assert plain.model_id != model.model_id
    with np.load(workshop / "run/chips.npz") as chips:
        for file in (same, plain):
            embedder = Embedder(file)
            probes, kept = (np.stack([look(chip) for chip in chips["test"]]) for look in (embedder.embed, embedder.template))
            genuine, impostor = score_all_pairs(file.head, probes, chips["test_labels"], kept)
            for point in file.operating_points:
                assert int((impostor >= point.threshold).sum()) == point.false_matches
                assert int((genuine < point.threshold).sum()) == point.false_non_matches
    assert plain.operating_points != same.operating_points
    with np.load(workshop / "held-out.npz") as held:
        told = json.dumps(json.loads(str(held["told"])) | {"split": 64 * "0"})
        others = {name: held[name] for name in held.files} | {"told": np.array(told)}
    np.savez(workshop / "others.npz", **others)
    refused = typed_here(workshop, *again[:4], "others.npz", "-o", "none.tflite", code=3)
    assert "some may have been trained on" in refused.stderr
    assert not (workshop / "none.tflite").exists()
    unknown = typed_here(workshop, "trainer", "held-out", "int8.tflite", "--data", "more", "--out", "none.npz", code=3)
    assert "whom it was trained on is not known here" in unknown.stderr
    assert "trainer held-out" in typed_here(workshop, *again[:4], "own.toml", "-o", "none.tflite", code=3).stderr


def test_a_file_gets_another_cohort_without_its_run(workshop: Path) -> None:
    words = ("--data", "data", "--data", "more", "--out")
    told = json.loads(typed_here(workshop, "trainer", "cohort", "int8.tflite", *words, "head.npz", "--json").stdout)
    for rate in (told["validation_fnmr"][when] for when in ("before", "after")):
        assert 0 <= rate["low"] <= rate["value"] == rate["errors"] / rate["trials"] <= rate["high"] <= 1
    # So few strangers cannot show an FMR of 1 in 1,000.
    assert told["validation_fnmr"]["target_fmr"] in (1e-2, 1e-1)
    typed_here(workshop, "trainer", "held-out", "int8.tflite", *words, "theirs.npz")
    measure = ("export", "measure", "int8.tflite", "--held-out", "theirs.npz", "--head")
    typed_here(workshop, *measure, "head.npz", "-o", "other-cohort.tflite")
    model, other = (read_model(workshop / f"{name}.tflite") for name in ("int8", "other-cohort"))
    assert (other.model_id, other.tower.flatbuffer) == (model.model_id, model.tower.flatbuffer)
    # The sets are so small that the same people are chosen, and the same int8 file embeds them.
    assert sorted(map(tuple, other.cohort)) == sorted(map(tuple, model.cohort))
    assert other.head.cohort is not None
    assert other.head.cohort.nearest == 3
    with np.load(workshop / "head.npz") as head:
        assert other.head.doubt == tuple(head["doubt"])
    digest = hashlib.sha256((workshop / "head.npz").read_bytes()).hexdigest()
    assert other.record["provenance"]["files"]["head.npz"] == digest
    with np.load(workshop / "run/chips.npz") as chips:
        embedder = Embedder(other)
        probes, kept = (np.stack([look(chip) for chip in chips["test"]]) for look in (embedder.embed, embedder.template))
        genuine, impostor = score_all_pairs(other.head, probes, chips["test_labels"], kept)
    for point in other.operating_points:
        assert int((impostor >= point.threshold).sum()) == point.false_matches
        assert int((genuine < point.threshold).sum()) == point.false_non_matches
    refused = typed_here(workshop, *measure, "run/head.npz", "-o", "none.tflite", code=3)
    assert "its cohort was not embedded by" in refused.stderr
    refused = typed_here(workshop, *measure, "own.toml", "-o", "none.tflite", code=3)
    assert "no head" in refused.stderr
    assert not (workshop / "none.tflite").exists()


def test_a_damaged_aligner_is_refused(workshop: Path) -> None:
    data = bytearray((workshop / "int8.tflite").read_bytes())
    at = data.rindex(b"TFL3") + 400
    data[at] ^= 1
    (workshop / "damaged.tflite").write_bytes(bytes(data))
    assert "damaged" in typed_here(workshop, "edge", "model", "show", "damaged.tflite", code=5).stderr
