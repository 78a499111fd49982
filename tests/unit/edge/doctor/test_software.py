"""Settings, runtime, OpenCV, the journal, and the model against its own recorded answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.contract.errors import PackageMissing
from edge.contract.fingerprint import golden_chips
from edge.contract.modelfile import ModelFile
from edge.contract.runtime import Embedder
from edge.doctor import Machine, software, verifier
from edge.settings import Settings
from tests.conftest import MODEL

Make = Callable[..., Machine]


def test_settings_are_valid_and_nobody_elses_to_write(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text("[policy]\ntarget_fmr = 1e-4\n")
    found, loaded = software.settings(path, path)
    assert (found.verdict, loaded.policy.target_fmr) == ("pass", 1e-4)
    path.chmod(0o664)
    assert "0664" in software.settings(path, path)[0].message
    path.write_text("[policy]\nthreshold = 0.4\n")
    refused, loaded = software.settings(path, path)
    assert (refused.verdict, loaded, str(path) in str(refused.shared())) == ("fail", Settings(), False)
    assert "policy.threshold" in refused.shown()["found"]


def test_no_file_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.settings.DEFAULT_PATH", tmp_path / "none.toml")
    assert "defaults are in force" in software.settings(None, tmp_path / "none.toml")[0].message


def test_texts_of_settings_stay_where_they_are() -> None:
    changed = {
        "camera": {"source": "rtsp://a:b@c/d"},
        "action": {"kind": "command", "argv": ["/home/ada/open"]},
        "policy": {"matches": 4},
    }
    loaded = Settings.model_validate(changed)
    assert software.differences(loaded) == {
        "camera.source": "<text>", "policy.matches": 4, "action.kind": "<text>", "action.argv": "<text>"
    }  # fmt: skip


def test_the_runtime_is_named_or_its_remedy() -> None:
    assert software.runtime().verdict == "pass"

    def none() -> str:
        raise PackageMissing("no TFLite runtime: pip install x")

    missing = software.runtime(none)
    assert (missing.verdict, missing.mend) == ("fail", "pip install x")


def test_opencv_five_has_no_cascade(monkeypatch: pytest.MonkeyPatch) -> None:
    assert software.opencv().verdict == "pass"
    monkeypatch.delattr(cv2, "CascadeClassifier")
    assert "no CascadeClassifier" in software.opencv().message


def test_a_cascade_that_was_changed_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.contract.detector.HAAR_ALT2_SHA256", "0" * 64)
    found = software.opencv()
    assert (found.verdict, "is not the cascade's" in found.shown()["found"]) == ("fail", True)


def test_the_journal_needs_its_package_and_its_socket(machine: Make) -> None:
    assert software.journal(machine(), lambda _: None).verdict == "warn"
    assert software.journal(machine({"run/systemd/system/x": ""}), lambda _: None).verdict == "fail"
    assert software.journal(machine(), lambda _: True).verdict == "warn"
    assert software.journal(machine({"run/systemd/journal/socket": ""}), lambda _: True).verdict == "pass"


def test_the_model_answers_as_it_was_measured() -> None:
    found, read = verifier.model(MODEL, Settings())
    assert (found.verdict, read is not None) == ("pass", True), found.message
    assert "at fmr-0.001" in found.message
    assert "recorded answers" in found.message


def test_a_model_that_cannot_be_used_is_told_by_its_code(tmp_path: Path) -> None:
    changed = tmp_path / "m.tflite"
    changed.write_bytes(MODEL.read_bytes()[:-1])
    found, read = verifier.model(changed, Settings())
    assert (found.verdict, read, "(model)" in found.message) == ("fail", None, True)
    assert str(tmp_path) in found.shown()["found"]
    assert str(tmp_path) not in str(found.shared())
    unproven, read = verifier.model(MODEL, Settings.model_validate({"policy": {"target_fmr": 1e-9}}))
    assert (unproven.verdict, "(model-unproven)" in unproven.message, read is not None) == ("fail", True, True)


def test_a_model_that_others_may_write_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(MODEL.read_bytes())
    path.chmod(0o666)
    found, _ = verifier.model(path, Settings())
    assert (found.verdict, "others may write" in found.message) == ("fail", True)


def test_answers_that_differ_are_measured(model: ModelFile) -> None:
    embedder = Embedder(model)
    answers = np.stack([embedder.answer(chip) for chip in golden_chips(model.chip)])
    same = replace(model, golden=answers)
    assert verifier.compare_answers(answers, same) == (1.0, "all 6 recorded answers come out bit for bit")
    off = answers.copy()
    off[0, 0] += 3 if off[0, 0] < 100 else -3
    cosine, told = verifier.compare_answers(off, same)
    assert verifier.MIN_COSINE < cosine <= 1
    assert "up to 3 steps off" in told
    assert verifier.compare_answers(answers[:, ::-1], same)[0] < verifier.MIN_COSINE
    assert verifier.compare_answers(answers[:2], same)[0] == 0.0
    nothing = np.full_like(answers, model.tower.output.zero_point)
    assert verifier.compare_answers(nothing, same)[0] == 0.0
