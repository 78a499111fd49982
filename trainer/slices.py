"""Error rates of subsets of the comparisons at the common threshold: by light, sharpness and face size, and by groups of people."""

from __future__ import annotations

from math import comb
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract.chip import face_part, to_grey
from edge.contract.errors import InputError
from edge.contract.metrics import rate
from trainer.comparisons import Comparisons
from trainer.dataset import Faces
from trainer.prepare import read_manifest

SLICES = ("light", "sharpness", "size of the face")
TARGET_FMR = 1e-3


def slices(comparisons: Comparisons, faces: Faces, folder: Path) -> list[dict[str, Any]]:
    """FNMR and FMR at the common threshold for FMR 1e-3, by thirds of each quality measure of the worse of the two pictures. Empty if
    there are too few comparisons for that FMR."""
    if comparisons.impostors * TARGET_FMR < 3:
        return []
    threshold = comparisons.threshold(TARGET_FMR)
    boxes = {entry["chip"]: entry["box"] for entry in read_manifest(folder)["chips"]}  # type: ignore[attr-defined]
    values = np.empty((len(SLICES), len(faces.labels)))
    for row in range(len(faces.labels)):
        face = to_grey(face_part(faces.chips.one(row), faces.spec))
        values[:, row] = face.mean(), cv2.Laplacian(face, cv2.CV_32F).var(), boxes[faces.names[row]][2]
    table = []
    for name, value in zip(SLICES, values, strict=True):
        cuts = np.quantile(value, [1 / 3, 2 / 3])
        worse = {
            rows: np.digitize(value[getattr(comparisons, rows)].min(1), cuts) for rows in ("genuine_rows", "impostor_rows")
        }
        everyone = np.digitize(value, cuts)
        for third, label in enumerate((f"below {cuts[0]:.0f}", f"{cuts[0]:.0f} to {cuts[1]:.0f}", f"above {cuts[1]:.0f}")):
            chosen = worse["genuine_rows"] == third
            if not chosen.any():
                continue
            missed = comparisons.miss_rate(threshold, chosen)
            # All pairs whose worse picture is in this third, less the genuine ones.
            strangers = comb(int((everyone >= third).sum()), 2) - comb(int((everyone > third).sum()), 2) - missed.trials
            matched = rate(
                int(((worse["impostor_rows"] == third) & (comparisons.impostor >= threshold)).sum()), max(strangers, 1)
            )
            table.append(
                {
                    "slice": name, "range": label, "genuine": missed.trials, "fnmr": missed.value, "low": missed.low,
                    "high": missed.high, "impostor": strangers, "false_matches": matched.errors, "fmr": matched.value,
                    "fmr_low": matched.low, "fmr_high": matched.high,
                }
            )  # fmt: skip
    return table


def read_groups(path: Path, faces: Faces) -> dict[str, str]:
    """Reads the groups of people in `faces` from a file, whose lines are a person's name, a tab and a group, such as

        Ada_Lovelace\tfemale, 20-40

    Raises:
        InputError: a line has another form, a person has two groups, or the file names nobody in `faces`.
    """
    try:
        lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: unreadable: {error}") from error
    groups: dict[str, str] = {}
    people = {*faces.identities}
    for number, line in enumerate(lines, 1):
        name, _, group = line.partition("\t")
        if not group.strip():
            raise InputError(
                f"{path}, line {number} of those that count: {line!r}: expected a person's name, a tab and a group"
            )
        if groups.setdefault(name, group.strip()) != group.strip():
            raise InputError(f"{path}: {name} is in the groups {groups[name]!r} and {group.strip()!r}; leave one of them")
    people_in_file, groups = len(groups), {name: group for name, group in groups.items() if name in people}
    if not groups:
        raise InputError(
            f"{path}: not one of its {people_in_file} people is among the {len(faces.identities)} who are compared"
        )
    return groups


def by_group(comparisons: Comparisons, faces: Faces, groups: dict[str, str]) -> list[dict[str, Any]]:
    """FNMR of each group, and FMR between strangers within it, at the common threshold for FMR 1e-3. Empty if there are too few
    comparisons for that FMR."""
    if comparisons.impostors * TARGET_FMR < 3:
        return []
    threshold = comparisons.threshold(TARGET_FMR)
    names = sorted(set(groups.values()))
    group_index = {name: index for index, name in enumerate(names)}
    person_groups = np.array([group_index.get(groups.get(name, ""), -1) for name in faces.identities])
    row_groups: NDArray[np.int64] = person_groups[faces.labels]
    matched = comparisons.impostor_rows[comparisons.impostor >= threshold]
    table = []
    for index, name in enumerate(names):
        genuine = row_groups[comparisons.genuine_rows[:, 0]] == index
        per_person = np.bincount(faces.labels[row_groups == index])
        strangers = int((per_person.sum() ** 2 - (per_person**2).sum()) // 2)
        if not genuine.any() or not strangers:
            continue
        missed = comparisons.miss_rate(threshold, genuine)
        fmr = rate(int((row_groups[matched] == index).all(1).sum()), strangers)
        table.append(
            {
                "group": name, "people": int((per_person > 0).sum()), "genuine": missed.trials, "fnmr": missed.value,
                "low": missed.low, "high": missed.high, "impostor": fmr.trials, "fmr": fmr.value, "fmr_low": fmr.low,
                "fmr_high": fmr.high,
            }
        )  # fmt: skip
    return table
