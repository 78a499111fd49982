"""An evaluation of the committed synthetic model on chips of noise: its report, and refusals of unfitting chips and damaged runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.contract.errors import InputError
from edge.contract.fingerprint import chip_fingerprint
from edge.contract.metrics import clopper_pearson
from edge.contract.score import Head
from edge.contract.spec import ChipSpec
from tests.conftest import MODEL
from trainer.cameras import CameraSet, compare_cameras
from trainer.comparisons import compare_all
from trainer.dataset import Chips, Faces
from trainer.enrolled import evaluate_enrolled
from trainer.evaluate import Subject, evaluate, load_subject
from trainer.protocol import protocol_accuracy
from trainer.report import write_report
from trainer.slices import by_group
from trainer.unseen import other_cameras, unseen_faces


def noise(folder: Path, spec: ChipSpec, counts: Sequence[int] = (2,) * 40, seed: int = 0) -> Path:
    """A prepared set of people with so many pictures each, by default forty with two, and three pictures without a chip."""
    rng, entries = np.random.default_rng(seed), []
    for number, label in enumerate(np.repeat(np.arange(len(counts)), counts)):
        person = f"p{label}"
        chip = f"chips/{person}/{person}_{number:04d}.png"
        (folder / chip).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / chip), rng.integers(0, 256, (spec.side_px, spec.side_px), np.uint8))
        entries.append({"chip": chip, "identity": person, "box": [0, 0, 90 + number, 90]})
    skipped = [{"picture": "a.jpg", "reason": "2 faces found"}] + 2 * [{"picture": "b.jpg", "reason": "no face found"}]
    told = {"chip": spec.to_json(), "fingerprint": chip_fingerprint(spec), "chips": entries, "skipped": skipped}
    (folder / "prepared.json").write_text(json.dumps(told))
    return folder


class Read(HTMLParser):
    """Collects the URLs of all that a page loads, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for key, value in attrs if key in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_report_is_one_page_with_all_that_was_measured(tmp_path: Path) -> None:
    folder = noise(tmp_path / "data", load_subject(MODEL).chip or ChipSpec())
    found = evaluate(load_subject(MODEL), folder, unseen_faces(folder, set()), {})
    figures = write_report(found, tmp_path / "out", None)
    assert json.loads((tmp_path / "out/evaluation.json").read_text()) == figures
    page = Read()
    page.feed((tmp_path / "out/report.html").read_text())
    assert page.loads
    assert all(source.startswith("data:image/png;base64,") for source in page.loads)
    assert "3 of 83 pictures of the whole set gave no chip" in page.text
    assert "2 no face found; 1 2 faces found" in page.text
    assert "pairs as independent" in page.text
    assert "Cost of quantisation" in page.text
    assert figures["quantisation"]["tar_file"] < figures["quantisation"]["tar_float"]
    assert figures["impostor"] == 40 * 39 // 2 * 4


def test_each_figure_is_of_templates_against_probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Templates differ from embeddings, and some scores are in doubt. Of the 24 pictures of one person ten count, except with several
    anchors; with the two of each of 48 others that is 10 * 9 / 2 + 48 genuine comparisons of 106 * 105 / 2."""
    head = Head(np.full(16, 0.05, np.float32), 3.0, squared=True, doubt=(0.05, 0.5))
    (tmp_path / "groups.tsv").write_text("".join(f"p{person}\teven\n" for person in range(0, 49, 2)))
    pairs = [f"p{n}\t{22 + 2 * n}\t{23 + 2 * n}\n" for n in range(1, 49)]
    pairs += [f"p{n}\t{22 + 2 * n}\tp{n + 1}\t{24 + 2 * n}\n" for n in range(1, 48)]
    (tmp_path / "pairs.txt").write_text("".join(pairs))
    hall = noise(tmp_path / "hall", ChipSpec(side_px=32), (24, *(2,) * 48))
    yard = noise(tmp_path / "yard", ChipSpec(side_px=32), (2,) * 60, seed=1)

    def embed(chips: Chips | np.ndarray) -> np.ndarray:
        return chips[:][:, 0, :16].astype(np.float32) / 64

    def enrol(chips: Chips | np.ndarray, embeddings: np.ndarray) -> np.ndarray:
        return (embeddings + chips[:][:, 1, :16] / 256).astype(np.float32)

    def both(faces: Faces) -> tuple[np.ndarray, np.ndarray]:
        return enrol(faces.chips, embed(faces.chips)), embed(faces.chips)

    pictures_enrolled: list[int] = []

    def counted(head: Head, embeddings: np.ndarray, labels: np.ndarray, templates: np.ndarray) -> list[dict[str, Any]]:
        pictures_enrolled.append(len(labels))
        return evaluate_enrolled(head, embeddings, labels, templates)

    monkeypatch.setattr("trainer.evaluate.evaluate_enrolled", counted)
    everything, other = unseen_faces(hall, set(), each=30), unseen_faces(yard, set())
    subject = Subject("drawn", None, head, embed, enrol, {"eer_file": 0.5})
    figures = evaluate(subject, hall, everything, {yard: other}, tmp_path / "pairs.txt", tmp_path / "groups.tsv").figures
    few = everything.measured()
    templates, embeddings = both(few)
    comparisons = compare_all(head, embeddings, few.labels, templates)
    rates = comparisons.rates((1e-1, 1e-2, 1e-3))
    assert [figures[key] for key in ("people", "pictures", "genuine", "impostor")] == [49, 106, 93, 5565 - 93]
    assert figures["eer"] == [rates.eer.value, rates.eer.low, rates.eer.high]
    assert figures["tar"] == {f"{target:g}": [tar.value, tar.low, tar.high] for target, tar in rates.tar.items()}
    assert figures["looked_at_twice"] == comparisons.twice_shares()
    assert 0 < figures["looked_at_twice"]["genuine"] < 1
    assert figures["protocol"] == protocol_accuracy(head, few, templates, embeddings, tmp_path / "pairs.txt")
    assert figures["protocol"]["pairs"] == 95
    assert figures["groups"] == by_group(comparisons, few, {f"p{person}": "even" for person in range(0, 49, 2)}) != []
    all_templates, all_embeddings = both(everything)
    assert figures["enrolled"] == evaluate_enrolled(head, all_embeddings, everything.labels, all_templates) != []
    assert pictures_enrolled == [24 + 96]
    sets = [
        CameraSet(str(folder), *both(faces), np.array(faces.identities)[faces.labels])
        for folder, faces in ((hall, few), (yard, other))
    ]
    assert figures["cameras"] == compare_cameras(head, sets) != []
    assert figures["quantisation"] == {"eer_file": 0.5}
    accuracy = figures["pair_accuracy"]
    assert (accuracy["pairs"], accuracy["low"] < accuracy["value"] < accuracy["high"]) == (2 * 90, True)
    failed = figures["failure_to_acquire"]
    assert (failed["failed"], failed["pictures"], failed["low"], failed["high"]) == (3, 123, *clopper_pearson(3, 123))


def test_a_camera_is_told_by_its_folder(tmp_path: Path) -> None:
    """The second set has no unseen people and is skipped; the third must still be listed under its own name."""
    subject = load_subject(MODEL)
    folders = [noise(tmp_path / name, subject.chip or ChipSpec()) for name in ("hall", "yard")]
    seen = {"p0", "p1"}
    old = noise(tmp_path / "old", subject.chip or ChipSpec())
    manifest = json.loads((old / "prepared.json").read_text())
    manifest["chips"] = manifest["chips"][:4]
    (old / "prepared.json").write_text(json.dumps(manifest))
    cameras = other_cameras([old, folders[1]], seen, may_be_trained_on=True)
    found = evaluate(subject, folders[0], unseen_faces(folders[0], seen), cameras)
    assert [row["set"] for row in found.figures["cameras"]] == [str(folder) for folder in folders]
    spec = replace(subject.chip or ChipSpec(), scale=1.25)
    with pytest.raises(InputError, match="other: its chips are not cut"):
        evaluate(subject, folders[0], unseen_faces(folders[0], seen), {Path("other"): replace(cameras[folders[1]], spec=spec)})


def test_chips_that_were_cut_otherwise_are_refused(tmp_path: Path) -> None:
    """They have the same size, so nothing else would fail, but the figures would be of another part of the picture."""
    taken = load_subject(MODEL).chip
    assert taken is not None
    folder = noise(tmp_path, ChipSpec(side_px=taken.side_px, scale=taken.scale + 1))
    with pytest.raises(InputError, match=r"scale 2\.\d \(1\.\d wanted\)"):
        evaluate(load_subject(MODEL), folder, unseen_faces(folder, set()), {})


@pytest.mark.parametrize("content", [None, b"", b"cut", b"PK\x03\x04cut"])
def test_a_run_that_was_cut_off_is_named(tmp_path: Path, content: bytes | None) -> None:
    record = {"state": "finished", "chip": ChipSpec().to_json(), "settings": {"tower": {}}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    if content is not None:
        (tmp_path / "head.npz").write_bytes(content)
    with pytest.raises(InputError, match="unreadable run"):
        load_subject(tmp_path)


def test_a_whole_head_before_a_tower_that_was_cut_off(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"state": "finished", "settings": {"tower": {}}}))
    np.savez(tmp_path / "head.npz", weights=np.ones(4, np.float32), bias=0.0, normalise=True, squared=True)
    (tmp_path / "tower.keras").write_bytes(b"cut")
    with pytest.raises(InputError, match="unreadable run"):
        load_subject(tmp_path)
