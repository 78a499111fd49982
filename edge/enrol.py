"""Enrolment: from frames to the templates of one subject. Chooses for spread, then checks itself. Writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.camera import Frame
from edge.contract.errors import EnrolmentFailed
from edge.contract.score import Head, compare, place
from edge.line import Face, Line
from edge.matcher import Match, Matcher
from edge.quality import Refusal
from edge.reasons import ADVICE, Reason
from edge.settings import EnrolmentSettings

# Frames closer than this in time show nearly the same picture and would count one pose many times.
SPACING_S = 0.15
CANDIDATES_PER_ANCHOR = 4
# Of the frames that were not chosen, so many must be recognised by those that were.
MIN_RECOGNISED = 0.5
# Of the frames of another look of a person, so many must match a template that is there: glasses and beards leave more.
MIN_ALIKE = 0.2
# A candidate this unlike the others is a bad crop, or another person who stepped in.
MAX_STRANGE = 0.25


@dataclass(frozen=True, slots=True)
class Enrolment:
    """`templates` is float32 [n, D]; of `checked` other frames of the session `recognised` matched them at the threshold."""

    templates: NDArray[np.float32]
    recognised: int
    checked: int


Progressed = Callable[[int, int, Refusal | None], None]


def enrol(
    line: Line,
    head: Head,
    threshold: float,
    frames: Iterable[Frame | None],
    others: Matcher,
    settings: EnrolmentSettings,
    progressed: Progressed,
    *,
    known: NDArray[np.float32] | None = None,
) -> Enrolment:
    """Collects frames that pass the gates, and keeps the `settings.anchors` that differ most.

    `others` holds the subjects already enrolled, `known`, float32 [n, D], templates that the subject has already: another look
    of a person must still be that person. `progressed` is called after every frame with how many candidates there
    are, how many are wanted, and why the frame was refused, if it was.

    Raises:
        EnrolmentFailed: too few good frames, more than one person, a face that is enrolled already, or templates that do
            not recognise the rest of the session.
        CameraError: the source broke.
    """
    candidates = _collect(line, frames, settings, progressed)
    _refuse_duplicate(candidates, others, threshold)
    if known is not None:
        _refuse_stranger(head, candidates, known, threshold)
    typical = _without_strangers(head, candidates, threshold, settings.anchors)
    chosen = _farthest(head, typical, settings.anchors)
    rest = np.delete(typical, chosen, axis=0)
    templates = typical[chosen]
    recognised = _recognised(head, rest, templates, threshold)
    if recognised < MIN_RECOGNISED * len(rest):
        raise EnrolmentFailed(
            f"only {recognised} of {len(rest)} further frames were recognised with the new templates: "
            "enrol in even light, face to the camera, or choose a looser policy.target_fmr"
        )
    return Enrolment(templates, recognised, len(rest))


def _collect(
    line: Line, frames: Iterable[Frame | None], settings: EnrolmentSettings, progressed: Progressed
) -> NDArray[np.float32]:
    wanted = settings.anchors * CANDIDATES_PER_ANCHOR
    candidates: list[NDArray[np.float32]] = []
    refused: Counter[Reason] = Counter()
    first = taken = None
    for frame in frames:
        if frame is None:
            continue
        first = frame.at if first is None else first
        if frame.at - first > settings.timeout_s:
            break
        if taken is not None and frame.at - taken < SPACING_S:
            continue
        face = line.look(frame)
        if isinstance(face, Face):
            candidates.append(face.embedding)
            taken = frame.at
        else:
            refused[face.reason] += 1
        progressed(len(candidates), wanted, face if isinstance(face, Refusal) else None)
        if len(candidates) == wanted:
            break
    least = settings.anchors + settings.anchors // 2
    if len(candidates) < least:
        counted = ", ".join(f"{reason.value} {count}" for reason, count in refused.most_common()) or "the camera gave no more"
        remedy = ADVICE[refused.most_common(1)[0][0]] if refused else "use a longer recording"
        raise EnrolmentFailed(f"{len(candidates)} good frames, at least {least} are needed ({counted}); {remedy}")
    return np.stack(candidates)


def _refuse_duplicate(candidates: NDArray[np.float32], others: Matcher, threshold: float) -> None:
    found = Counter(
        match.subject for match in (others.match(probe, threshold) for probe in candidates) if isinstance(match, Match)
    )
    if found and found.most_common(1)[0][1] > len(candidates) / 2:
        name = found.most_common(1)[0][0]
        raise EnrolmentFailed(f"this face is enrolled already, as {name}; `edge remove {name}` first to give it another name")


def _refuse_stranger(head: Head, candidates: NDArray[np.float32], known: NDArray[np.float32], threshold: float) -> None:
    alike = _recognised(head, candidates, known, threshold)
    if alike < MIN_ALIKE * len(candidates):
        raise EnrolmentFailed(
            f"only {alike} of {len(candidates)} frames look like the person who is enrolled: nothing was added; if it is, "
            "--replace enrols anew"
        )


def _recognised(head: Head, probes: NDArray[np.float32], templates: NDArray[np.float32], threshold: float) -> int:
    """How many of the probes match one of the templates."""
    placed, enrolled = place(head, probes), place(head, templates)
    return sum(bool((compare(head, placed[at : at + 1], enrolled) >= threshold).any()) for at in range(len(probes)))


def _without_strangers(head: Head, candidates: NDArray[np.float32], threshold: float, anchors: int) -> NDArray[np.float32]:
    """The largest group of frames that are linked by matches; poses link through those between them, another face does not."""
    placed = place(head, candidates)
    linked = np.stack([compare(head, placed[at : at + 1], placed) >= threshold for at in range(len(candidates))])
    largest = max((_reachable(linked, start) for start in range(len(candidates))), key=lambda group: int(group.sum()))
    strange = len(candidates) - int(largest.sum())
    if strange > MAX_STRANGE * len(candidates) or len(candidates) - strange <= anchors:
        raise EnrolmentFailed(
            f"{strange} of {len(candidates)} frames do not look like the others: one person alone, in steady light, "
            "and face to the camera"
        )
    return candidates[largest]


def _reachable(linked: NDArray[np.bool_], start: int) -> NDArray[np.bool_]:
    group: NDArray[np.bool_] = linked[start]
    while True:
        wider = np.asarray(linked[group].any(axis=0))
        if (wider == group).all():
            return group
        group = wider


def _farthest(head: Head, candidates: NDArray[np.float32], count: int) -> list[int]:
    """Farthest-point choice (Gonzalez 1985): from the most typical frame on, always the one least like those chosen."""
    placed = place(head, candidates)
    scores = np.stack([compare(head, placed[at : at + 1], placed) for at in range(len(candidates))])
    chosen = [int(np.argmax(np.median(scores, axis=1)))]
    nearest = scores[chosen[0]].copy()
    while len(chosen) < count:
        nearest[chosen] = np.inf
        chosen.append(int(np.argmin(nearest)))
        nearest = np.maximum(nearest, scores[chosen[-1]])
    return sorted(chosen)
