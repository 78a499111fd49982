"""Comparison of models: their names in the table and the plot, and how sure their differences are."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge.contract.errors import InputError
from edge.contract.metrics import clopper_pearson
from edge.contract.score import Head, score
from edge.contract.spec import ChipSpec
from tests.unit.trainer.test_comparisons import people
from trainer import compare_models as module
from trainer import dlibfile, dlibway
from trainer.comparisons import compare_all
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


def compared(folder: Path, monkeypatch: pytest.MonkeyPatch, labels: np.ndarray, *models: Subject) -> list[dict[str, Any]]:
    """The table of these models on the chips 0 to n - 1 of people `labels`."""
    by_name = {model.name: model for model in models}
    faces = SimpleNamespace(chips=np.arange(len(labels)), labels=labels)
    monkeypatch.setattr(module, "unseen_faces", lambda *_: faces)
    monkeypatch.setattr(
        module, "_subject", lambda name, *_: (by_name[name], 1, lambda _: lambda: by_name[name].embed(labels)[0])
    )
    monkeypatch.setattr(module, "_draw", lambda _: b"")
    return module.compare_models([*by_name], folder, set(), folder)


def test_a_difference_is_that_of_the_same_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recomputed from each model's own comparisons, of templates with embeddings."""
    head, labels = Head(np.ones(16, np.float32), 2.0, normalise=True, squared=True), people(60, 4)[1]
    (good, bad), templates = (people(60, 4, noise=noise)[0] for noise in (0.5, 0.8)), people(60, 4, noise=0.3)[0]
    subjects = [Subject(name, None, head, lambda _, e=e: e, lambda *_: templates) for name, e in (("good", good), ("bad", bad))]
    first, second = compared(tmp_path, monkeypatch, labels, *subjects)
    assert first["more_than_first"]["eer"] == [0, 0, 0]
    assert (second["genuine"], second["impostor"]) == (60 * 6, 60 * 59 // 2 * 16)
    better, worse = (compare_all(head, embeddings, labels, templates).rates(module.TARGETS) for embeddings in (good, bad))
    assert second["eer"] == [worse.eer.value, worse.eer.low, worse.eer.high]
    for key, one, other in (("eer", better.eer, worse.eer), ("tar_0.01", better.tar[1e-2], worse.tar[1e-2])):
        ends = np.percentile(other.resampled - one.resampled, [2.5, 97.5])
        assert second["more_than_first"][key] == pytest.approx([other.value - one.value, *ends])
    assert second["more_than_first"]["eer"][1] > 0 > second["more_than_first"]["tar_0.01"][2]


def test_two_models_that_miss_nobody_may_still_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty people, ten of them with a single picture: of fifty, up to 7 % could be missed by one of the two alone."""
    embeddings, labels = people(60, 2, noise=0.01)
    embeddings, labels = embeddings[:110], np.append(labels[:100], np.arange(50, 60))
    head = Head(np.ones(16, np.float32), 2.0, normalise=True, squared=True)
    first, second = compared(
        tmp_path, monkeypatch, labels, *(Subject(name, None, head, lambda _: embeddings) for name in ("one", "other"))
    )
    most = clopper_pearson(0, 50)[1]
    assert first["more_than_first"]["tar_0.01"] == [0, 0, 0]
    assert second["more_than_first"]["tar_0.01"] == pytest.approx([0, -most, most])


def test_a_model_of_other_chips_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may have the same size, and would give figures of another part of the picture."""
    faces = SimpleNamespace(chips=np.arange(4), labels=np.array([0, 0, 1, 1]), spec=ChipSpec(scale=1.5))
    other = Subject("other", ChipSpec(), Head(np.ones(4, np.float32), 2.0), lambda _: np.eye(4, dtype=np.float32))
    monkeypatch.setattr(module, "unseen_faces", lambda *_: faces)
    monkeypatch.setattr(module, "_subject", lambda *_: (other, 1, lambda _: lambda: np.ones(4, np.float32)))
    with pytest.raises(InputError, match=r"scale 1\.5 \(1\.0 wanted\)"):
        module.compare_models(["other"], tmp_path, set(), tmp_path)


def test_a_face_is_timed_from_chip_to_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a chip takes 5 s, the network 2 ms, and the comparison with twenty anchors 1 ms."""
    now = [0.0]

    def after(seconds: float, value: Any) -> Any:
        now[0] += seconds
        return value

    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(module, "compare", lambda *_: after(1e-3, None))
    face, anchors = np.ones(4, np.float32), np.ones((20, 4), np.float32)
    taken = module._milliseconds(Head(face, 2.0), lambda _: after(5.0, lambda: after(2e-3, face)), anchors)
    assert taken == pytest.approx(3.0)


def test_dlib_is_compared_by_the_distance_of_its_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """(0, 3) and (0, 5) point the same way, but are 2 apart; (0, 3) and (4, 3) are 4 apart."""
    vectors = {"a": [0, 3], "b": [0, 5], "c": [4, 3]}

    class Peer(SimpleNamespace):
        size = 2

        def __init__(self, _: Path) -> None:
            super().__init__(vector=lambda name: np.array(vectors[name], np.float32))

    (tmp_path / "weights").write_bytes(b"12345")
    monkeypatch.setattr(dlibway, "DlibPeer", Peer)
    monkeypatch.setattr(dlibfile, "find_weights", lambda: tmp_path / "weights")
    subject, size, _ = module._dlib(tmp_path, [*vectors])
    a, *others = subject.embed(np.empty((3, 8, 8), np.uint8))
    assert size == 5
    assert score(subject.head, a, np.stack(others)) == pytest.approx([1 / (1 + np.exp(4)), 1 / (1 + np.exp(16))])
    with pytest.raises(InputError, match="whole pictures only"):
        subject.embed(np.empty((2, 8, 8), np.uint8))
