"""Comparison of models: their names in the table and the plot."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge.contract.score import Head
from trainer import compare_models as module
from trainer.evaluate import Subject


def test_two_files_of_one_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `trainer compare-models old/own.tflite new/own.tflite`: two curves, and two rows with different names."""
    faces = SimpleNamespace(chips=np.arange(40), labels=np.repeat(np.arange(20), 2))
    made = {
        name: np.random.default_rng(seed).normal(size=(40, 8)).astype(np.float32)
        for seed, name in enumerate(("old/own.tflite", "new/own.tflite", "other.tflite"))
    }

    def subject(name: str, *_: Any) -> tuple[Subject, int, module.Prepare]:
        called = f"{Path(name).name} (int8)"
        embed = lambda chips: made[name]  # noqa: E731
        return Subject(called, None, Head(np.ones(8, np.float32), 2.0), embed), 1, lambda row: lambda: made[name][row % 40]

    drawn: dict[str, Any] = {}
    monkeypatch.setattr(module, "unseen_faces", lambda *_: faces)
    monkeypatch.setattr(module, "_subject", subject)
    monkeypatch.setattr(module, "_draw", lambda curves: drawn.update(curves) or b"")
    rows = module.compare_models([*made], tmp_path, set(), tmp_path)
    names = ["own.tflite (int8), old/own.tflite", "own.tflite (int8), new/own.tflite", "other.tflite (int8)"]
    assert [row["model"] for row in rows] == names == [*drawn]
    assert [row["model"] for row in json.loads((tmp_path / "models.json").read_text())] == names
