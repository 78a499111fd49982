"""The model file: what it contains, and that nothing else is accepted as one."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.contract import modelfile
from edge.contract.errors import ModelDamaged, ModelError, ModelUnproven, ModelUnsupported
from edge.contract.fingerprint import golden_chips
from edge.contract.modelfile import METADATA_NAME, ModelFile, TemplateKind, model_id_of, parse_model, read_model
from edge.contract.runtime import Embedder
from edge.contract.score import merge
from export.package import pack

HERE = Path("some.tflite")


def rewritten(model: ModelFile, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The model's file with changed metadata and a matching seal."""
    record = json.loads(json.dumps(model.record))
    change(record)
    with zipfile.ZipFile(io.BytesIO(model.path.read_bytes())) as archive:
        arrays = {name: np.load(io.BytesIO(archive.read(name))) for name in archive.namelist() if name != METADATA_NAME}
    return pack(model.tower.flatbuffer, record, arrays)


def test_the_committed_model_carries_what_it_must(model: ModelFile) -> None:
    assert model.tower.input.dtype == "int8"
    assert (model.tower.input.scale, model.tower.input.zero_point) == (1.0, -128)
    assert model.tower.input.shape == (1, 64, 64, 1)
    assert model.cohort.shape[1] == model.head.size == model.tower.output.shape[1]
    for point in model.operating_points:
        assert point.fmr_interval[0] <= point.fmr <= point.fmr_interval[1]
        assert point.fmr <= point.target_fmr
        assert point.impostor_trials * point.target_fmr >= 3


def test_any_tool_reads_the_metadata(model: ModelFile) -> None:
    with zipfile.ZipFile(model.path) as archive:
        assert json.loads(archive.read(METADATA_NAME))["model_id"] == model.model_id


def test_packing_what_was_read_gives_the_same_bytes(model: ModelFile) -> None:
    assert rewritten(model, lambda record: None) == model.path.read_bytes()


def test_an_operating_point_is_never_a_looser_one(model: ModelFile) -> None:
    assert model.operating_point(1e-3).target_fmr == 1e-3
    with pytest.raises(ModelUnproven, match=r"FMR 1e-06; it has: 0\.1"):
        model.operating_point(1e-6)


def test_a_file_that_missed_a_gate_is_used_where_that_is_allowed_alone(model: ModelFile) -> None:
    def miss(record: dict[str, Any]) -> None:
        record["gates"][0] |= {"value": 0.5, "passed": False}

    forced = parse_model(rewritten(model, miss), HERE)
    with pytest.raises(
        ModelUnproven, match=r"missed median cosine to float 0\.5 \(at least 0\.98\).*policy\.allow_failed_gate"
    ):
        forced.operating_point(1e-3)
    assert forced.operating_point(1e-3, allow_failed_gate=True) == model.operating_point(1e-3)


def test_generated_chips_get_the_recorded_answers(model: ModelFile) -> None:
    """Another runtime or machine may differ by a few quantisation steps; see benchmarks/arm64."""
    embedder = Embedder(model)
    answers = np.stack([embedder.answer(chip) for chip in golden_chips(model.chip)])
    assert answers.dtype == model.golden.dtype == np.int8
    assert np.abs(answers.astype(int) - model.golden).max() <= 5


def test_a_head_may_hold_faces_against_the_cohort(model: ModelFile) -> None:
    held = parse_model(rewritten(model, _set("head", "cohort", {"nearest": 5, "ceiling": 2.5})), HERE)
    assert model.head.cohort is None
    assert held.head.cohort is not None
    assert (held.head.cohort.nearest, held.head.cohort.ceiling) == (5, 2.5)
    assert np.array_equal(held.head.cohort.embeddings, held.cohort)


def test_a_mirrored_template_is_the_mean_of_a_face_and_its_mirror_image(model: ModelFile) -> None:
    mirrored = parse_model(rewritten(model, into_mirrored(model)), HERE)
    chip = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    once, twice = Embedder(model), Embedder(mirrored)
    assert mirrored.model_id != model.model_id  # its templates differ, so everyone must enrol again
    assert np.array_equal(twice.embed(chip), once.embed(chip))
    assert np.array_equal(once.template(chip), once.embed(chip))
    looks = np.stack([once.embed(chip), once.embed(np.ascontiguousarray(chip[:, ::-1]))])
    assert np.abs(looks[0] - looks[1]).max() > 0
    assert np.array_equal(twice.template(chip), merge(model.head, looks))


def test_another_kind_of_template_under_the_same_id_is_refused(model: ModelFile) -> None:
    with pytest.raises(ModelDamaged, match="is not the recorded"):
        parse_model(rewritten(model, lambda record: record.update(schema=3, template="mirrored")), HERE)
    with pytest.raises(ModelDamaged, match="template"):
        parse_model(rewritten(model, lambda record: record.update(schema=3)), HERE)


def doubting(*, low: float = 0.3, high: float = 0.9, **more: object) -> Callable[[dict[str, Any]], object]:
    def change(record: dict[str, Any]) -> None:
        record["head"]["doubt"] = {"from": low, "below": high}
        record.update(schema=4, **more)

    return change


def test_doubt_is_read(model: ModelFile) -> None:
    def change(record: dict[str, Any]) -> None:
        into_mirrored(model)(record)
        doubting()(record)

    assert parse_model(rewritten(model, change), HERE).head.doubt == (0.3, 0.9)
    before = rewritten(model, lambda record: (change(record), record.update(schema=3)))
    assert parse_model(before, HERE).head.doubt is None, "that schema has none"


def test_doubt_without_a_second_look_or_out_of_range_is_refused(model: ModelFile) -> None:
    with pytest.raises(ModelDamaged, match="no second look"):
        parse_model(rewritten(model, doubting(template="plain")), HERE)
    for low, high in ((0.9, 0.3), (-1.0, 0.5), (0.5, 2.0)):

        def change(record: dict[str, Any], low: float = low, high: float = high) -> None:
            into_mirrored(model)(record)
            doubting(low=low, high=high)(record)

        with pytest.raises(ModelDamaged, match="doubt"):
            parse_model(rewritten(model, change), HERE)


def into_mirrored(model: ModelFile) -> Callable[[dict[str, Any]], object]:
    model_id = model_id_of(model.tower.flatbuffer, b"", TemplateKind.MIRRORED)
    return lambda record: record.update(schema=3, template="mirrored", model_id=model_id)


def test_embeddings_are_finite_float32(model: ModelFile) -> None:
    embedding = Embedder(model).embed(np.full((64, 64), 90, np.uint8))
    assert (embedding.dtype, embedding.shape) == (np.float32, (model.head.size,))
    assert np.isfinite(embedding).all()


@pytest.mark.parametrize(
    "chip", [np.zeros((64, 64), np.float32), np.zeros((32, 32), np.uint8), np.zeros((64, 64, 1), np.uint8)]
)
def test_another_chip_is_refused(model: ModelFile, chip: np.ndarray) -> None:
    with pytest.raises(ValueError, match="this model takes uint8"):
        Embedder(model).embed(chip)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "empty"),
        (b"hello", "no TFLite file"),
        (b"\x1c\0\0\0TFL3" + bytes(500), "plain TFLite file.*export tflite"),
    ],
)
def test_other_files_are_named_for_what_they_are(data: bytes, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        parse_model(data, HERE)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.tflite", tmp_path):
        with pytest.raises(ModelError, match=str(path)):
            read_model(path)


def test_another_schema_names_the_release_that_reads_it(model: ModelFile) -> None:
    data = rewritten(model, lambda record: record.update(schema=9, written_by="7.1"))
    with pytest.raises(ModelUnsupported, match=r"schema 9; this facelatch reads schemas 2 to 4\..*facelatch 7\.1"):
        parse_model(data, HERE)


def _set(*keys: Any) -> Callable[[dict[str, Any]], None]:
    *path, last, value = keys

    def change(record: dict[str, Any]) -> None:
        for key in path:
            record = record[key]
        record[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (_set("chip", "version", 2), ModelUnsupported),
        (_set("fingerprint", "0" * 64), ModelUnsupported),
        (_set("model_id", "0" * 64), ModelDamaged),
        (_set("embedding_size", 64), ModelDamaged),
        (_set("embedding_size", 10**9), ModelDamaged),
        (_set("embedding_size", True), ModelDamaged),
        (_set("tensors", "input", "scale", 0.9), ModelUnsupported),
        (_set("tensors", "input", "shape", [1, 32, 32, 1]), ModelDamaged),
        (_set("tensors", "input", "dtype", "uint8"), ModelDamaged),
        (_set("tensors", "output", "scale", 0), ModelDamaged),
        (_set("head", "bias", "high"), ModelDamaged),
        (_set("head", "weights", "file", "arrays/cohort.npy"), ModelDamaged),
        (_set("head", "weights", "file", "../../etc/passwd"), ModelDamaged),
        (_set("cohort", "sha256", "0" * 64), ModelDamaged),
        (_set("head", "cohort", {"nearest": 0, "ceiling": 1.0}), ModelDamaged),
        (_set("head", "cohort", {"nearest": 65, "ceiling": 1.0}), ModelDamaged),
        (_set("head", "cohort", {"nearest": 5, "ceiling": -1.0}), ModelDamaged),
        (_set("head", "cohort", {"nearest": 5, "ceiling": float("inf")}), ModelDamaged),
        (_set("head", "cohort", {"nearest": 5}), ModelDamaged),
        (_set("operating_points", 0, "threshold", -1), ModelDamaged),
        (_set("operating_points", 0, "fmr", 0.5), ModelDamaged),
        (_set("operating_points", 0, "impostor_trials", 10), ModelDamaged),
        (_set("operating_points", 0, "fmr", float("nan")), ModelDamaged),
        (_set("operating_points", None), ModelDamaged),
        (_set("gates", 0, "passed", False), ModelDamaged),
        (_set("gates", 0, "value", float("nan")), ModelDamaged),
        (_set("gates", 0, "at_least", 1), ModelDamaged),
        (_set("gates", 0, "limit", float("-inf")), ModelDamaged),
        (_set("golden", "sha256", "0" * 64), ModelDamaged),
        (lambda record: record.pop("gates"), ModelDamaged),
        (lambda record: record.pop("head"), ModelDamaged),
    ],
)
def test_sealed_nonsense_is_refused(model: ModelFile, change: Callable[[dict[str, Any]], Any], error: type[ModelError]) -> None:
    with pytest.raises(error):
        parse_model(rewritten(model, change), HERE)


def test_the_network_must_be_what_its_metadata_say(model: ModelFile) -> None:
    data = rewritten(model, _set("tensors", "output", "scale", 0.5))
    with pytest.raises(ModelDamaged, match="its metadata say"):
        Embedder(parse_model(data, HERE))


def test_a_device_is_read_no_further_than_a_model_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device file reports a size of 0 and may have no end."""
    monkeypatch.setattr(modelfile, "MAX_FILE_BYTES", 1000)
    with pytest.raises(ModelError, match="/dev/zero: 1001 bytes; a model has at most 1000"):
        read_model(Path("/dev/zero"))
