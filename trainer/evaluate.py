"""Evaluation of a run or a model file on people it never saw, in the terms of ISO/IEC 19795-1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from edge.contract.errors import InputError
from edge.contract.metrics import rate
from edge.contract.modelfile import TemplateKind, read_model
from edge.contract.score import Head, score
from edge.contract.spec import ChipSpec
from trainer.cameras import TARGET_FMR, CameraSet, compare_cameras
from trainer.comparisons import Comparisons, Rates, compare_all, pair_errors
from trainer.dataset import PICTURES_EACH, Chips, Faces
from trainer.enrolled import evaluate_enrolled
from trainer.prepare import read_manifest
from trainer.protocol import protocol_accuracy
from trainer.run import read_run
from trainer.slices import by_group, read_groups, slices

TARGETS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is evaluated: a run's float verifier or a model file.

    `embed` takes chips, uint8 [n, side, side] or [n, side, side, 3], and gives embeddings, float32 [n, D]; `enrol` takes the same chips
    and their embeddings, and gives the templates that enrolment would store, float32 [n, D]. `chip` says how its chips are cut; None if
    it takes whole pictures. `parity` is what the export of a model file measured against the float model.
    """

    name: str
    chip: ChipSpec | None
    head: Head
    embed: Callable[[Chips | NDArray[np.uint8]], NDArray[np.float32]]
    enrol: Callable[[Chips | NDArray[np.uint8], NDArray[np.float32]], NDArray[np.float32]] = lambda chips, embeddings: (
        embeddings
    )
    parity: dict[str, Any] | None = None

    def check(self, faces: Faces, folder: str) -> None:
        """Raises InputError if the chips of `faces`, prepared in `folder`, were not cut as this subject takes them."""
        if self.chip is not None and self.chip != faces.spec:
            differences = ", ".join(
                f"{key} {value} ({own_spec[key]} wanted)"
                for own_spec in [self.chip.to_json()]
                for key, value in faces.spec.to_json().items()
                if value != own_spec[key]
            )
            raise InputError(
                f"{folder}: its chips are not cut as {self.name} takes them: {differences}; `trainer prepare` it so"
            )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The results: `figures` for programs (evaluation.json), the rest for the plots of the report."""

    figures: dict[str, Any]
    comparisons: Comparisons
    faces: Faces


def load_subject(path: Path) -> Subject:
    """Loads what is to be evaluated from a finished run's folder or a model file.

    Raises:
        InputError, ModelError: `path` is neither.
    """
    if path.is_dir():
        from trainer.verifier import load_verifier

        verifier = load_verifier(path)
        chip = ChipSpec.from_json(read_run(path)["chip"])
        return Subject(f"{path.resolve().name} (float)", chip, verifier.head, verifier.embed, verifier.templates)
    from edge.contract.runtime import Embedder

    model = read_model(path)
    embedder = Embedder(model)

    def for_each_chip(
        chips: Chips | NDArray[np.uint8], what: str, compute: Callable[[NDArray[np.uint8], int], NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        quick = len(chips) < 500
        progress = track(range(len(chips)), f"{what} by {path.name}", console=Console(stderr=True), disable=quick)
        return np.stack([compute(chips[row : row + 1][0], row) for row in progress])

    def embed(chips: Chips | NDArray[np.uint8]) -> NDArray[np.float32]:
        return for_each_chip(chips, "embedding", lambda chip, _: embedder.embed(chip))

    def enrol(chips: Chips | NDArray[np.uint8], embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        if model.template is TemplateKind.PLAIN:
            return embeddings
        return for_each_chip(
            chips, "enrolling", lambda chip, row: embedder.template_of_view(embedder.view(chip), embeddings[row])
        )

    return Subject(
        f"{path.name} ({model.tower.input.dtype})", model.chip, model.head, embed, enrol, model.record["parity"] or None
    )


def evaluate(
    subject: Subject,
    folder: Path,
    faces: Faces,
    further: dict[Path, Faces],
    protocol: Path | None = None,
    groups: Path | None = None,
) -> Evaluation:
    """Compares the pictures `faces` of the prepared set `folder` with each other, at most PICTURES_EACH of a person; only the figures for
    several enrolled anchors use more. `further` maps the folders of sets from other cameras to their faces, for the same-camera check
    only. `protocol` is a file of pairs in LFW's format, `groups` a file with the group of each person (see trainer/slices.py).

    Raises:
        InputError: the chips are not cut as the subject takes them, the protocol names too few pictures of the set, or the groups
            cannot be read.
    """
    for name, one_set in ((folder, faces), *further.items()):
        subject.check(one_set, str(name))
    group_of = read_groups(groups, faces) if groups else {}
    all_faces, few_rows = faces, faces.first_rows_per_person(PICTURES_EACH)
    all_embeddings = subject.embed(all_faces.chips)
    all_templates = subject.enrol(all_faces.chips, all_embeddings)
    faces, embeddings, templates = all_faces.only(few_rows), all_embeddings[few_rows], all_templates[few_rows]
    comparisons = compare_all(subject.head, embeddings, faces.labels, templates)
    rates = comparisons.rates(TARGETS)
    first = CameraSet(str(folder), templates, embeddings, np.array(faces.identities)[faces.labels])
    figures: dict[str, Any] = {
        "subject": subject.name,
        "people": len(np.unique(faces.labels)),
        "pictures": len(faces.labels),
        "pictures_each_at_most": PICTURES_EACH,
        "genuine": len(comparisons.genuine),
        "impostor": comparisons.impostors,
        "eer": [rates.eer.value, rates.eer.low, rates.eer.high],
        "tar": {f"{target:g}": [tar.value, tar.low, tar.high] for target, tar in rates.tar.items()},
        "failure_to_acquire": _failure_to_acquire(folder),
        "looked_at_twice": comparisons.twice_shares(),
        "slices": slices(comparisons, faces, folder),
        "groups": by_group(comparisons, faces, group_of) if groups else [],
        "enrolled": evaluate_enrolled(subject.head, all_embeddings, all_faces.labels, all_templates),
        "quantisation": subject.parity,
        "cameras": _compare_cameras(subject, first, further),
    }
    if accuracy := _pair_accuracy(subject.head, templates, embeddings, faces.labels, comparisons):
        figures["pair_accuracy"] = accuracy
    if protocol:
        figures["protocol"] = protocol_accuracy(subject.head, faces, templates, embeddings, protocol)
    figures["warnings"] = [
        f"strangers within {row['set']} match {row['ratio']:.1f} times as often as strangers across sets: its camera, or who is in it, "
        "makes them alike to the network"
        for row in figures["cameras"]
        if row["gap"]
    ]
    lines = _in_words(figures, rates)
    if subject.head.doubt:
        lines.append(_twice_in_words(figures["looked_at_twice"]))
    if accuracy:
        lines.append(_pair_accuracy_in_words(accuracy))
    if protocol:
        lines.append(_protocol_in_words(protocol.name, figures["protocol"]))
    if further and not figures["cameras"]:
        lines.append(f"same-camera check: too few comparisons across the sets to show FMR {TARGET_FMR:g}; nothing is told")
    figures["lines"] = lines + [f"warning: {warning}" for warning in figures["warnings"]]
    return Evaluation(figures, comparisons, faces)


def _in_words(figures: dict[str, Any], rates: Rates) -> list[str]:
    return [
        f"{figures['subject']}: {figures['people']} unseen people, {figures['pictures']} pictures, at most {PICTURES_EACH} each; "
        f"{figures['genuine']} genuine and {figures['impostor']} impostor comparisons; intervals by resampling people",
        f"EER {rates.eer}",
        *(f"TAR at FMR {target:g}: {tar}" for target, tar in rates.tar.items()),
    ]


def _twice_in_words(shares: dict[str, float]) -> str:
    return f"looked at twice, in doubt: {shares['genuine']:.1%} of genuine, {shares['impostor']:.1%} of impostor comparisons"


def _pair_accuracy_in_words(accuracy: dict[str, float]) -> str:
    return (
        f"pair accuracy {accuracy['value']:.2%} ({accuracy['pairs']} pairs, 10 folds drawn, 95 % {accuracy['low']:.2%}-"
        f"{accuracy['high']:.2%}, pairs as independent)"
    )


def _protocol_in_words(name: str, listed: dict[str, Any]) -> str:
    return (
        f"{name}: {listed['value']:.2%} of pairs right, {listed['missed']} errors in {listed['genuine']} of one person and "
        f"{listed['matched']} in {listed['pairs'] - listed['genuine']} of two, both kinds weighed alike "
        f"({listed['folds']} folds {'of the file' if listed['folds_of_the_file'] else 'drawn'}, 95 % {listed['low']:.2%}-"
        f"{listed['high']:.2%}, pairs as independent), {listed['left_out']} pairs left out: {listed['why']}"
    )


def _pair_accuracy(
    head: Head,
    templates: NDArray[np.float32],
    embeddings: NDArray[np.float32],
    labels: NDArray[np.int64],
    comparisons: Comparisons,
) -> dict[str, float] | None:
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(labels), (6000, 2))
    drawn = drawn[labels[drawn[:, 0]] != labels[drawn[:, 1]]][: min(3000, len(comparisons.genuine))]
    if len(drawn) < 10 or len(comparisons.genuine) < 10:
        return None
    error_rate = pair_errors(
        comparisons.genuine,
        np.array([float(score(head, embeddings[b], templates[a][None], templates[b])[0]) for a, b in drawn]),
    )
    return {"value": 1 - error_rate.value, "low": 1 - error_rate.high, "high": 1 - error_rate.low, "pairs": error_rate.trials}


def _failure_to_acquire(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = read_manifest(folder)
    failed, made = len(manifest["skipped"]), len(manifest["chips"])
    fta = rate(failed, failed + made)
    reasons = Counter(entry["reason"] for entry in manifest["skipped"])
    return {
        "pictures": fta.trials, "failed": fta.errors, "rate": fta.value, "low": fta.low, "high": fta.high,
        "reasons": dict(reasons.most_common()),
    }  # fmt: skip


def _compare_cameras(subject: Subject, first: CameraSet, further: dict[Path, Faces]) -> list[dict[str, Any]]:
    if not further:
        return []
    sets = [first]
    for name, faces in further.items():
        embeddings = subject.embed(faces.chips)
        templates = subject.enrol(faces.chips, embeddings)
        sets.append(CameraSet(str(name), templates, embeddings, np.array(faces.identities)[faces.labels]))
    return compare_cameras(subject.head, sets)
