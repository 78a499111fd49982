"""The `export` command: its options, and what inspect, verify and diff print for the committed model."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from edge.contract.errors import ModelDamaged, StorageError
from edge.contract.modelfile import METADATA_NAME, TemplateKind, model_id_of, read_model
from export.cli import app
from export.package import pack, write_file
from export.show import differences, summary
from export.verify import verify_file
from tests.conftest import MODEL

runner = CliRunner()


@pytest.mark.parametrize(
    ("words", "quantize", "run"),
    [
        (["--quantize", "runs/a"], "int8", "runs/a"),
        (["runs/a", "--quantize"], "int8", "runs/a"),
        (["--quantize", "int16x8", "runs/a"], "int16x8", "runs/a"),
        (["--quantize=float16", "runs/a"], "float16", "runs/a"),
        (["runs/a"], "none", "runs/a"),
        (["--quantize", "-o", "x", "runs/a"], "int8", "runs/a"),
    ],
)
def test_quantize_stands_alone_or_names_a_variant(words: list[str], quantize: str, run: str) -> None:
    command = typer.main.get_command(app).commands["tflite"]
    with command.make_context("tflite", words) as context:
        assert context.params["quantize"] == quantize
        assert context.params["run"] == Path(run)


def test_an_unknown_variant_is_named() -> None:
    command = typer.main.get_command(app).commands["tflite"]
    with pytest.raises(typer.BadParameter, match="int4"):
        command.make_context("tflite", ["--quantize=int4", "runs/a"])


def test_inspect_tells_what_is_in_the_file(tmp_path: Path) -> None:
    told = json.loads(runner.invoke(app, ["inspect", str(MODEL), "--json"]).stdout)
    assert told["record"]["quantisation"] == "int8"
    assert told["networks"]["tower"]["float_tensors"] == 0
    assert told["networks"]["tower"]["input"]["range"] == [0.0, 255.0]
    text = runner.invoke(app, ["inspect", str(MODEL), "--operators", "--draw", str(tmp_path / "g.svg")]).stdout
    assert "CONV_2D" in text
    assert "passed" in text
    assert "intervals as if each comparison were independent, so too narrow" in text
    assert (tmp_path / "g.svg").read_text().count("<svg") == 1
    for name in ("g.foo", "nowhere/g.svg"):
        failed = runner.invoke(app, ["inspect", str(MODEL), "--draw", str(tmp_path / name)])
        assert isinstance(failed.exception, StorageError)
        assert f"{name}: cannot write the picture" in str(failed.exception)


@pytest.mark.parametrize(
    ("key", "value"),
    [("quantisation", "int3"), ("runtimes", [{"runtime": "x"}]), ("provenance", {"export": {}}), ("provenance", [])],
)
def test_a_file_made_by_hand_that_does_not_say_where_it_is_from_is_refused(tmp_path: Path, key: str, value: object) -> None:
    """The device accepts it, because it does not use the provenance; `export` used to report an internal error."""
    with zipfile.ZipFile(io.BytesIO(MODEL.read_bytes())) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    record = json.loads(members.pop(METADATA_NAME)) | {key: value}
    file = tmp_path / "hand.tflite"
    file.write_bytes(pack(read_model(MODEL).tower.flatbuffer, record, {}, members))
    assert read_model(file).model_id == read_model(MODEL).model_id
    for command in ("inspect", "verify"):
        failed = runner.invoke(app, [command, str(file)])
        assert isinstance(failed.exception, ModelDamaged)
        assert "hand.tflite: what it says of its origin is not whole" in str(failed.exception)


def test_verify_holds_the_committed_file_against_its_gates() -> None:
    model = read_model(MODEL)
    checks = verify_file(model)
    assert all(check.passed for check in checks), checks
    assert len([check for check in checks if check.name.startswith("recorded")]) == len(model.gates) >= 4
    done = runner.invoke(app, ["verify", str(MODEL), "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["passed"] is True


def test_diff_tells_the_same_from_another() -> None:
    model = read_model(MODEL)
    found = differences(model, model)
    assert found["record"] == []
    assert found["same_network"]
    assert found["answers"]["equal"]
    assert runner.invoke(app, ["diff", str(MODEL), str(MODEL)]).exit_code == 0
    accurate = Path(__file__).parents[3] / "edge/models/accurate.tflite"
    done = runner.invoke(app, ["diff", str(MODEL), str(accurate), "--json"])
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert not told["same_network"]
    assert told["answers"] is None
    assert {"key": "name", "first": "synthetic", "second": "accurate"} in told["record"]


def test_summary_is_plain_json() -> None:
    json.dumps(summary(read_model(MODEL)))


def test_networks_are_the_same_whatever_is_kept_of_a_face() -> None:
    """As after `export measure --template mirrored`: the model id differs, the networks do not."""
    model = read_model(MODEL)
    kind = TemplateKind.MIRRORED if model.template is TemplateKind.PLAIN else TemplateKind.PLAIN
    model_id = model_id_of(model.tower.flatbuffer, model.aligner.network.flatbuffer if model.aligner else b"", kind)
    other = replace(model, template=kind, model_id=model_id, record=model.record | {"template": kind, "model_id": model_id})
    found = differences(model, other)
    assert found["same_network"]
    assert "model_id" in {entry["key"] for entry in found["record"]}


@pytest.mark.parametrize("name", [".", "/"])
def test_a_file_without_a_name_is_not_written(name: str) -> None:
    with pytest.raises(StorageError, match="name a file"):
        write_file(Path(name), b"")
