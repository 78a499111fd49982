"""Enrolment: from frames to the templates of one subject. Chooses varied frames, then checks the result. Writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.camera import Frame
from edge.contract.errors import EnrolmentFailed, FaceKnown
from edge.contract.score import Head, compare, place
from edge.line import Enrollable, Line
from edge.matcher import Match, Matcher
from edge.poses import Course, Pose
from edge.progress import Progress, progress_of
from edge.reasons import ADVICE, Reason

# Frames closer than this in time show nearly the same picture and would count one pose many times.
SPACING_S = 0.15
# The share of the frames not chosen that those chosen must recognise.
MIN_RECOGNISED = 0.5
# The share of the frames of another look that must match an existing template: with new glasses or a beard, more still do.
MIN_ALIKE = 0.2
# The share of candidates that may be unlike the others: bad crops, or another person who stepped in.
MAX_STRANGE = 0.25


@dataclass(frozen=True, slots=True)
class Enrolment:
    """`templates` is float32 [n, D], `poses` what each of them shows. Of `checked` other frames of the session, `recognised` matched them
    at the threshold: this tells how much the templates miss of the session they come from, which is less than they miss another day."""

    templates: NDArray[np.float32]
    poses: tuple[Pose, ...]
    recognised: int
    checked: int

    @property
    def by_pose(self) -> dict[Pose, int]:
        """How many templates show each pose, without the poses that none shows."""
        return {pose: self.poses.count(pose) for pose in Pose if pose in self.poses}


ProgressCallback = Callable[[Progress], None]


class Candidates(NamedTuple):
    """Good frames: their embeddings and the templates that would be kept of them, both float32 [n, D], and the pose of each, [n]."""

    embeddings: NDArray[np.float32]
    templates: NDArray[np.float32]
    poses: NDArray[np.object_]

    def only(self, rows: NDArray[np.bool_]) -> Candidates:
        """These rows alone."""
        return Candidates(self.embeddings[rows], self.templates[rows], self.poses[rows])


def enrol(
    line: Line,
    head: Head,
    threshold: float,
    frames: Iterable[Frame | None],
    others: Matcher,
    course: Course,
    on_progress: ProgressCallback,
    *,
    existing: NDArray[np.float32] | None = None,
    known_at: float | None = None,
) -> Enrolment:
    """Collects frames that pass the gates, some of each pose of `course`, and keeps the `enrolment.anchors` that differ most, at least
    one of each pose that was captured.

    `others` holds the other subjects already enrolled, and `known_at` is the threshold at which a face counts as theirs, `threshold` if
    None. `existing`, float32 [n, D], are templates that the subject has already: another look must still be of that person. `on_progress`
    is called after every frame that was looked at.

    Raises:
        EnrolmentFailed: too few good frames, more than one person, or templates that do not recognise the rest of the session.
        FaceKnown: the face is enrolled already.
        CameraError: the source failed.
    """
    anchors = course.settings.enrolment.anchors
    candidates = _collect(line, frames, course, on_progress)
    _refuse_duplicate(candidates, others, threshold if known_at is None else known_at)
    candidates = candidates.only(_without_strangers(head, candidates.embeddings, threshold, anchors))
    if existing is not None:
        # After the strange frames are out: these must not vouch for those that are kept.
        _refuse_stranger(head, candidates, existing, threshold)
    chosen = _farthest(head, candidates.embeddings, candidates.poses, anchors)
    templates = candidates.templates[chosen]
    rest = candidates.only(~np.isin(np.arange(len(candidates.poses)), chosen))
    recognised, further = _recognised(head, rest, templates, threshold), len(rest.poses)
    if recognised < MIN_RECOGNISED * further:
        raise EnrolmentFailed(
            f"only {recognised} of {further} further frames were recognised with the new templates: "
            "enrol in even light, face to the camera, or choose a looser policy.target_fmr"
        )
    return Enrolment(templates, tuple(candidates.poses[chosen]), recognised, further)


def _collect(line: Line, frames: Iterable[Frame | None], course: Course, on_progress: ProgressCallback) -> Candidates:
    settings = course.settings.enrolment
    selected: list[tuple[Enrollable, Pose]] = []
    spare: list[tuple[Enrollable, Pose]] = []
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
        examined = line.examine(frame)
        course.tick(frame.at, face=examined.box is not None)
        if isinstance(examined.outcome, Enrollable):
            pose, was_needed = course.take(examined.turn or 0.0, frame.at)
            (selected if was_needed else spare).append((examined.outcome, pose))
            taken = frame.at
        else:
            refused[examined.outcome.reason] += 1
        on_progress(progress_of(course, frame, examined))
        if course.done:
            break
    # Taken from all over the session, because frames of one moment are alike.
    missing = min(course.want - len(selected), len(spare))
    selected += [spare[index] for index in np.linspace(0, len(spare) - 1, missing).round().astype(int)]
    least = settings.anchors + settings.anchors // 2
    if len(selected) < least:
        counted = ", ".join(f"{reason.value} {count}" for reason, count in refused.most_common()) or "the camera gave no more"
        remedy = ADVICE[refused.most_common(1)[0][0]] if refused else "use a longer recording"
        raise EnrolmentFailed(f"{len(selected)} good frames, at least {least} are needed ({counted}); {remedy}")
    return Candidates(
        np.stack([face.embedding for face, _ in selected]),
        np.stack([face.template for face, _ in selected]),
        np.array([pose for _, pose in selected], object),
    )


def _refuse_duplicate(candidates: Candidates, others: Matcher, threshold: float) -> None:
    looks = zip(candidates.embeddings, candidates.templates, strict=True)
    outcomes = [others.match(probe, threshold, lambda twice=twice: twice) for probe, twice in looks]  # type: ignore[misc]
    matches = Counter(outcome.subject for outcome in outcomes if isinstance(outcome, Match))
    name, count = matches.most_common(1)[0] if matches else ("NAME", 0)
    # A face like two subjects at once counts as well: enrolled, it would make three alike.
    if count + sum(outcome is Reason.AMBIGUOUS for outcome in outcomes) > len(outcomes) / 2:
        known = name if count else "two subjects at once"
        raise FaceKnown(f"this face is enrolled already, as {known}; `edge remove {name}` first to give it another name")


def _refuse_stranger(head: Head, candidates: Candidates, existing: NDArray[np.float32], threshold: float) -> None:
    matched, count = _recognised(head, candidates, existing, threshold), len(candidates.poses)
    if matched < MIN_ALIKE * count:
        raise EnrolmentFailed(
            f"only {matched} of {count} frames look like the person who is enrolled: nothing was added; if it is "
            "the same person, --replace enrols again"
        )


def _recognised(head: Head, probes: Candidates, templates: NDArray[np.float32], threshold: float) -> int:
    """How many of the probes match one of the templates."""
    placed, enrolled = place(head, probes.embeddings, probes.templates), place(head, templates)
    return sum(bool((compare(head, placed[row : row + 1], enrolled) >= threshold).any()) for row in range(len(probes.poses)))


def _without_strangers(head: Head, candidates: NDArray[np.float32], threshold: float, anchors: int) -> NDArray[np.bool_]:
    """Which frames, bool [n], belong to the largest group linked by matches. Poses link through those between them; another face does not.

    Raises EnrolmentFailed if too many do not belong.
    """
    placed = place(head, candidates)
    linked = np.stack([compare(head, placed[row : row + 1], placed) >= threshold for row in range(len(candidates))])
    largest = max((_reachable(linked, start) for start in range(len(candidates))), key=lambda group: int(group.sum()))
    strange = len(candidates) - int(largest.sum())
    if strange > MAX_STRANGE * len(candidates) or len(candidates) - strange <= anchors:
        raise EnrolmentFailed(
            f"{strange} of {len(candidates)} frames do not look like the others: enrol one person alone, in steady light, "
            "facing the camera"
        )
    return largest


def _reachable(linked: NDArray[np.bool_], start: int) -> NDArray[np.bool_]:
    group: NDArray[np.bool_] = linked[start]
    while True:
        wider = np.asarray(linked[group].any(axis=0))
        if (wider == group).all():
            return group
        group = wider


def _farthest(head: Head, candidates: NDArray[np.float32], poses: NDArray[np.object_], count: int) -> list[int]:
    """Farthest-point selection (Gonzalez 1985): starts with the most typical frame and always adds the one least like those chosen. Every
    pose gets one frame before any gets a second."""
    placed = place(head, candidates)
    scores = np.stack([compare(head, placed[row : row + 1], placed) for row in range(len(candidates))])
    chosen = [int(np.argmax(np.median(scores, axis=1)))]
    nearest = scores[chosen[0]].copy()
    while len(chosen) < count:
        nearest[chosen] = np.inf
        covered = {poses[row] for row in chosen}
        uncovered = np.array([pose not in covered for pose in poses])
        chosen.append(int(np.argmin(np.where(uncovered, nearest, np.inf) if uncovered.any() else nearest)))
        nearest = np.maximum(nearest, scores[chosen[-1]])
    return sorted(chosen)
