"""Evaluation of a run or of a model file on people that it never saw, in the terms of ISO/IEC 19795-1."""

from __future__ import annotations

import json
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
from edge.contract.score import Head, compare, place, score
from trainer.comparisons import Comparisons, compare_all, fold_errors, pair_errors
from trainer.dataset import FURTHER_COHORT, PICTURES_EACH, Chips, Faces, joined, load_faces, split_identities
from trainer.enrolled import evaluate_enrolled
from trainer.prepare import read_manifest
from trainer.run import FURTHER, SPLIT, read_run
from trainer.slices import by_group, read_groups, slices

TARGETS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
# Within one camera's pictures strangers may match this many times as often as across before the report warns.
SAME_CAMERA_LIMIT = 2.0


@dataclass(frozen=True, slots=True)
class Subject:
    """What is evaluated: a run's float verifier or a model file. `embed` takes chips, uint8 [n, side, side]; `enrol` takes the same and
    their embeddings, and gives what would be kept of them, float32 [n, D]."""

    name: str
    head: Head
    embed: Callable[[Chips | NDArray[np.uint8]], NDArray[np.float32]]
    enrol: Callable[[Chips | NDArray[np.uint8], NDArray[np.float32]], NDArray[np.float32]] = lambda chips, embeddings: (
        embeddings
    )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that was found: `figures` for machines, the rest for the pictures of the report."""

    figures: dict[str, Any]
    comparisons: Comparisons
    faces: Faces


def load_subject(path: Path) -> Subject:
    """A finished run's folder, or a model file.

    Raises:
        InputError, ModelError: it is neither.
    """
    if path.is_dir():
        from trainer.verifier import load_verifier

        verifier = load_verifier(path)
        return Subject(f"{path.name} (float)", verifier.head, verifier.embed, verifier.templates)
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

    return Subject(f"{path.name} ({model.tower.input.dtype})", model.head, embed, enrol)


def seen_people(run: Path) -> set[str]:
    """Everybody whom a run used: for training, for the choice of the epoch and the head, or as the cohort.

    Raises:
        InputError: it is no run.
    """
    read_run(run)
    split = json.loads((run / SPLIT).read_text())
    return {name for part in ("train", "validation", "cohort", FURTHER, FURTHER_COHORT) for name in split.get(part, [])}


def seen_by_file(path: Path, folders: list[Path]) -> set[str]:
    """`seen_people` of a model file whose run is not at hand, from the sets it was trained on, in their order: a split is made of the
    names and the seed, which the file tells.

    Raises:
        InputError: these are not the sets that the file was trained on.
    """
    made_from = read_model(path).record["provenance"]
    main, *further = (load_faces(folder) for folder in folders)
    together = joined(main, further)
    if together.digest != made_from["data"]["sha256"]:
        raise InputError(
            f"{path}: name its run with --run, whose people are left out; or with --data all the sets that it was trained on, in that "
            f"order (digest {made_from['data']['sha256'][:12]}, these have {together.digest[:12]}); or say --strangers if none of its "
            "people is here"
        )
    test = split_identities(main.labels, main.identities, made_from["run"]["settings"]["seed"])["test"]
    return {*together.identities} - {*test}


def unseen_faces(folder: Path, seen: set[str]) -> Faces:
    """The faces of a prepared set whose people are not in `seen`, as `Faces.measured` has them.

    Raises:
        InputError: nobody remains, or nobody with two pictures.
    """
    faces = load_faces(folder)
    left = [name for name in faces.identities if name not in seen]
    if not left:
        raise InputError(
            f"{folder}: all of its {len(faces.identities)} people were used in the training; nothing would be measured"
        )
    faces = faces.of(left).measured()
    if np.bincount(faces.labels, minlength=1).max() < 2:
        raise InputError(f"{folder}: not one of {len(left)} unseen people has two pictures")
    return faces


def evaluate(
    subject: Subject, folder: Path, faces: Faces, further: list[Faces], protocol: Path | None = None, groups: Path | None = None
) -> Evaluation:
    """Compares all of `faces`, of the prepared set `folder`, with each other. `further` are sets of other cameras, for the
    same-camera check alone; `protocol` names pairs in LFW's format, `groups` the group of each person (see trainer/slices.py).

    Raises:
        InputError: the protocol names pictures that are not there, or the groups are unreadable.
    """
    embeddings = subject.embed(faces.chips)
    templates = subject.enrol(faces.chips, embeddings)
    found = compare_all(subject.head, embeddings, faces.labels, templates)
    eer = found.eer()
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
    }
    lines = [
        f"{subject.name}: {figures['people']} unseen people, {len(faces.labels)} pictures, at most {PICTURES_EACH} each; "
        f"{len(found.genuine)} genuine and {found.impostors} impostor comparisons; intervals by resampling people",
        f"EER {eer}",
    ]
    for target in TARGETS:
        if found.impostors * target >= 3:
            try:
                tar = found.tar(target)
            except ValueError:
                continue  # a threshold below all scores kept: nobody uses it
            figures["tar"][f"{target:g}"] = [tar.value, tar.low, tar.high]
            lines.append(f"TAR at FMR {target:g}: {tar}")
    wrong = _pairs(subject.head, templates, embeddings, faces.labels, found)
    if wrong:
        figures["pair_accuracy"] = wrong
        lines.append(
            f"pair accuracy {wrong['value']:.2%} ({wrong['pairs']} pairs, 10 folds, 95 % {wrong['low']:.2%}-{wrong['high']:.2%})"
        )
    if protocol:
        figures["protocol"] = on_protocol(subject, faces, templates, embeddings, protocol)
        named = figures["protocol"]
        lines.append(
            f"{protocol.name}: {named['value']:.2%} of {named['pairs']} pairs right "
            f"(95 % {named['low']:.2%}-{named['high']:.2%}), {named['left_out']} pairs left out: {named['why']}"
        )
    figures["slices"] = slices(found, faces, folder)
    figures["groups"] = by_group(found, faces, read_groups(groups, faces)) if groups else []
    figures["enrolled"] = evaluate_enrolled(subject.head, embeddings, faces.labels, templates)
    figures["cameras"] = _cameras(subject, templates, embeddings, faces, further)
    figures["warnings"] = [
        f"strangers within {row['set']} match {row['ratio']:.1f} times as often as strangers across sets: its camera, or who is in it, "
        "makes them alike to the network"
        for row in figures["cameras"]
        if row["ratio"] > SAME_CAMERA_LIMIT
    ]
    lines += [f"warning: {warning}" for warning in figures["warnings"]]
    figures["lines"] = lines
    return Evaluation(figures, found, faces)


def on_protocol(
    subject: Subject, faces: Faces, templates: NDArray[np.float32], embeddings: NDArray[np.float32], path: Path
) -> dict[str, Any]:
    """Pair accuracy on the pairs that a file in LFW's format names, folds as it has them, else ten.

    Pairs of people whom the training used, or of pictures without a face, are left out and counted.

    Raises:
        InputError: the file is unreadable, or no pair of it can be used.
    """
    row = {Path(name).stem: at for at, name in enumerate(faces.names)}
    try:
        words = [line.split() for line in path.read_text().splitlines() if line.strip()]
        pairs = [_named(line) for line in words if len(line) in (3, 4)]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a list of pairs as LFW's: {error}") from error
    usable = [(same, row[a], row[b]) for same, a, b in pairs if a in row and b in row]
    scores = {
        kind: np.array([_one(subject.head, templates[a], embeddings[b]) for same, a, b in usable if same is kind])
        for kind in (True, False)
    }
    count = min(len(scores[True]), len(scores[False])) // 10
    if count < 1:
        raise InputError(
            f"{path}: of {len(pairs)} pairs only {len(usable)} are of unseen people; use another list or a larger test part"
        )
    shuffled = [np.random.default_rng(0).permutation(scores[kind])[: 10 * count].reshape(10, count) for kind in (True, False)]
    wrong = fold_errors(*shuffled)
    return {
        "pairs": wrong.trials, "value": 1 - wrong.value, "low": 1 - wrong.high, "high": 1 - wrong.low,
        "left_out": len(pairs) - wrong.trials, "why": "people whom the training used, pictures without a face, or no whole fold",
    }  # fmt: skip


def _named(words: list[str]) -> tuple[bool, str, str]:
    if len(words) == 3:
        return True, f"{words[0]}_{int(words[1]):04d}", f"{words[0]}_{int(words[2]):04d}"
    return False, f"{words[0]}_{int(words[1]):04d}", f"{words[2]}_{int(words[3]):04d}"


def _one(head: Head, template: NDArray[np.float32], probe: NDArray[np.float32]) -> float:
    return float(score(head, probe, template[None])[0])


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
    wrong = pair_errors(found.genuine, np.array([_one(head, templates[a], embeddings[b]) for a, b in drawn]))
    return {"value": 1 - wrong.value, "low": 1 - wrong.high, "high": 1 - wrong.low, "pairs": wrong.trials}


def _failures(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = read_manifest(folder)
    failed, made = len(manifest["skipped"]), len(manifest["chips"])
    fta = rate(failed, failed + made)
    return {"pictures": fta.trials, "failed": fta.errors, "rate": fta.value, "low": fta.low, "high": fta.high}


def _cameras(
    subject: Subject, templates: NDArray[np.float32], embeddings: NDArray[np.float32], faces: Faces, further: list[Faces]
) -> list[dict[str, Any]]:
    """FMR among the pictures of each set, at the threshold whose FMR across sets is 1e-3."""
    if not further:
        return []
    sets = [("first set", templates, embeddings, faces.labels)]
    first = len(faces.identities)
    for number, more in enumerate(further, start=2):
        theirs = subject.embed(more.chips)
        sets.append((f"set {number}", subject.enrol(more.chips, theirs), theirs, more.labels + first))
        first += len(more.identities)
    enrolled, placed = ([place(subject.head, one[part]) for one in sets] for part in (1, 2))
    across = np.concatenate(
        [
            compare(subject.head, mine[row : row + 1], others)
            for at, mine in enumerate(enrolled)
            for row in range(len(mine.points))
            for others in placed[at + 1 :]
        ]
    )
    threshold = float(np.quantile(across, 1 - 1e-3))
    rows = []
    for name, kept, mine, labels in sets:
        within = compare_all(subject.head, mine, labels, kept)
        matched = rate(int((within.impostor >= threshold).sum()), within.impostors)
        rows.append(
            {
                "set": name, "impostor": within.impostors, "fmr_within": matched.value, "low": matched.low, "high": matched.high,
                "fmr_across": 1e-3, "across": across.size, "ratio": matched.value / 1e-3,
            }
        )  # fmt: skip
    return rows
