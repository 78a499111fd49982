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
from trainer.cameras import TARGET_FMR, Taken, compare_cameras
from trainer.comparisons import Comparisons, compare_all, pair_errors
from trainer.dataset import PICTURES_EACH, Chips, Faces
from trainer.enrolled import evaluate_enrolled
from trainer.prepare import read_manifest
from trainer.protocol import on_protocol
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
            apart = ", ".join(
                f"{key} {value} ({wanted[key]} wanted)"
                for wanted in [self.chip.to_json()]
                for key, value in faces.spec.to_json().items()
                if value != wanted[key]
            )
            raise InputError(f"{folder}: its chips are not cut as {self.name} takes them: {apart}; `trainer prepare` it so")


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

    def each(
        chips: Chips | NDArray[np.uint8], what: str, made: Callable[[NDArray[np.uint8], int], NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        quick = len(chips) < 500
        told = track(range(len(chips)), f"{what} by {path.name}", console=Console(stderr=True), disable=quick)
        return np.stack([made(chips[at : at + 1][0], at) for at in told])

    def embed(chips: Chips | NDArray[np.uint8]) -> NDArray[np.float32]:
        return each(chips, "embedding", lambda chip, _: embedder.embed(chip))

    def enrol(chips: Chips | NDArray[np.uint8], embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        if model.template is TemplateKind.PLAIN:
            return embeddings
        return each(chips, "enrolling", lambda chip, row: embedder.template_of_view(embedder.view(chip), embeddings[row]))

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
    for name, one in ((folder, faces), *further.items()):
        subject.check(one, str(name))
    group_of = read_groups(groups, faces) if groups else {}
    everything, few = faces, faces.rows_few_each(PICTURES_EACH)
    all_embeddings = subject.embed(everything.chips)
    all_templates = subject.enrol(everything.chips, all_embeddings)
    faces, embeddings, templates = everything.only(few), all_embeddings[few], all_templates[few]
    found = compare_all(subject.head, embeddings, faces.labels, templates)
    rates = found.rates(TARGETS)
    eer = rates.eer
    figures: dict[str, Any] = {
        "subject": subject.name,
        "people": len(np.unique(faces.labels)),
        "pictures": len(faces.labels),
        "pictures_each_at_most": PICTURES_EACH,
        "genuine": len(found.genuine),
        "impostor": found.impostors,
        "eer": [eer.value, eer.low, eer.high],
        "tar": {},
        "failure_to_acquire": _failures(folder),
        "looked_at_twice": found.twice_shares(),
    }
    lines = [
        f"{subject.name}: {figures['people']} unseen people, {len(faces.labels)} pictures, at most {PICTURES_EACH} each; "
        f"{len(found.genuine)} genuine and {found.impostors} impostor comparisons; intervals by resampling people",
        f"EER {eer}",
    ]
    for target, tar in rates.tar.items():
        figures["tar"][f"{target:g}"] = [tar.value, tar.low, tar.high]
        lines.append(f"TAR at FMR {target:g}: {tar}")
    if subject.head.doubt:
        twice = figures["looked_at_twice"]
        lines.append(
            f"looked at twice, in doubt: {twice['genuine']:.1%} of genuine, {twice['impostor']:.1%} of impostor comparisons"
        )
    wrong = _pairs(subject.head, templates, embeddings, faces.labels, found)
    if wrong:
        figures["pair_accuracy"] = wrong
        lines.append(
            f"pair accuracy {wrong['value']:.2%} ({wrong['pairs']} pairs, 10 folds drawn, 95 % {wrong['low']:.2%}-{wrong['high']:.2%}, "
            "pairs as independent)"
        )
    if protocol:
        figures["protocol"] = on_protocol(subject.head, faces, templates, embeddings, protocol)
        named = figures["protocol"]
        lines.append(
            f"{protocol.name}: {named['value']:.2%} of {named['pairs']} pairs right "
            f"({named['folds']} folds {'of the file' if named['folds_of_the_file'] else 'drawn'}, 95 % {named['low']:.2%}-"
            f"{named['high']:.2%}, pairs as independent), {named['left_out']} pairs left out: {named['why']}"
        )
    figures["slices"] = slices(found, faces, folder)
    figures["groups"] = by_group(found, faces, group_of) if groups else []
    figures["enrolled"] = evaluate_enrolled(subject.head, all_embeddings, everything.labels, all_templates)
    figures["quantisation"] = subject.parity
    first = Taken(str(folder), templates, embeddings, np.array(faces.identities)[faces.labels])
    figures["cameras"] = _cameras(subject, first, further)
    if further and not figures["cameras"]:
        lines.append(f"same-camera check: too few comparisons across the sets to show FMR {TARGET_FMR:g}; nothing is told")
    figures["warnings"] = [
        f"strangers within {row['set']} match {row['ratio']:.1f} times as often as strangers across sets: its camera, or who is in it, "
        "makes them alike to the network"
        for row in figures["cameras"]
        if row["gap"]
    ]
    lines += [f"warning: {warning}" for warning in figures["warnings"]]
    figures["lines"] = lines
    return Evaluation(figures, found, faces)


def _pairs(
    head: Head,
    templates: NDArray[np.float32],
    embeddings: NDArray[np.float32],
    labels: NDArray[np.int64],
    found: Comparisons,
) -> dict[str, float] | None:
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(labels), (6000, 2))
    drawn = drawn[labels[drawn[:, 0]] != labels[drawn[:, 1]]][: min(3000, len(found.genuine))]
    if len(drawn) < 10 or len(found.genuine) < 10:
        return None
    wrong = pair_errors(
        found.genuine, np.array([float(score(head, embeddings[b], templates[a][None], templates[b])[0]) for a, b in drawn])
    )
    return {"value": 1 - wrong.value, "low": 1 - wrong.high, "high": 1 - wrong.low, "pairs": wrong.trials}


def _failures(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = read_manifest(folder)
    failed, made = len(manifest["skipped"]), len(manifest["chips"])
    fta = rate(failed, failed + made)
    reasons = Counter(entry["reason"] for entry in manifest["skipped"])
    return {
        "pictures": fta.trials, "failed": fta.errors, "rate": fta.value, "low": fta.low, "high": fta.high,
        "reasons": dict(reasons.most_common()),
    }  # fmt: skip


def _cameras(subject: Subject, first: Taken, further: dict[Path, Faces]) -> list[dict[str, Any]]:
    if not further:
        return []
    sets = [first]
    for name, more in further.items():
        theirs = subject.embed(more.chips)
        enrolled = subject.enrol(more.chips, theirs)
        sets.append(Taken(str(name), enrolled, theirs, np.array(more.identities)[more.labels]))
    return compare_cameras(subject.head, sets)
