"""The straight line: a frame in, an outcome and sometimes a decision out."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from edge.camera import Frame
from edge.contract.errors import InputError
from edge.contract.modelfile import ModelFile, TemplateKind
from edge.contract.score import score
from edge.gallery import new_subject
from edge.line import Enrollable, Face, Line
from edge.liveness import load_liveness
from edge.matcher import Match, Matcher
from edge.policy import Grant, Policy
from edge.quality import Gate, Refusal
from edge.reasons import Reason
from edge.settings import Settings
from trainer.synth.draw import draw_frame
from trainer.synth.person import Person
from trainer.synth.view import View


def frame(seed: int, view: View | None = None, at: float = 0.0) -> Frame:
    rng = np.random.default_rng(seed)
    return Frame(draw_frame(Person.from_seed(seed), view or View(), rng, width=320, height=240), at)


@pytest.fixture(scope="module")
def line(model: ModelFile) -> Line:
    # A budget that no machine exceeds, however busy it is.
    return Line(model, Settings.model_validate({"detection": {"min_face_px": 60, "budget_ms": 10_000}}))


def test_the_same_frame_matches_and_grants(line: Line, model: ModelFile, settings: Settings) -> None:
    face = line.look(frame(1))
    assert isinstance(face, Face)
    matcher = Matcher(model.head, [new_subject("ada", model.model_id, face.embedding[None])])
    policy = Policy(settings.policy)
    judged = [line.judge(frame(1, at=n / 10), matcher, model.operating_point(1e-3).threshold, policy) for n in range(3)]
    assert all(isinstance(j.outcome, Match) for j in judged)
    assert [type(j.decision) for j in judged] == [type(None), type(None), Grant]


def test_frames_count_by_their_own_time(model: ModelFile, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast they are judged: three frames in a minute are not three within `window_s`."""
    line, threshold = Line(model, settings), model.operating_point(1e-3).threshold
    face = line.look(frame(1))
    assert isinstance(face, Face)
    monkeypatch.setattr(line, "look", lambda seen: face)
    matcher, policy = Matcher(model.head, [new_subject("ada", model.model_id, face.embedding[None])]), Policy(settings.policy)
    judged = [line.judge(frame(1, at=20.0 * number), matcher, threshold, policy) for number in range(3)]
    assert [(isinstance(one.outcome, Match), one.decision) for one in judged] == [(True, None)] * 3


def test_a_frame_in_the_middle_of_which_the_machine_slept_grants_nothing(
    line: Line, model: ModelFile, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine sleeps during the last of three frames, if only for two seconds: somebody else may be there after it. The door must not
    grant either if a verification had the same frame examined before."""
    face, slept, real, look = line.look(frame(1)), 0.0, time.clock_gettime, line.look
    assert isinstance(face, Face)
    matcher, threshold = (
        Matcher(model.head, [new_subject("ada", model.model_id, face.embedding[None])]),
        model.operating_point(1e-3).threshold,
    )
    monkeypatch.setattr(time, "clock_gettime", lambda clock: real(clock) + slept * (clock == time.CLOCK_BOOTTIME))

    def falls_asleep(seen: Frame) -> Face | Refusal:
        nonlocal slept
        slept = 2.0
        return look(seen)

    door, asked = Policy(settings.policy), Policy(settings.policy)
    for number in range(2):
        shown = frame(1, at=number / 10)
        assert not {line.judge(shown, matcher, threshold, policy).decision for policy in (asked, door)} - {None}
    shown = frame(1, at=0.2)
    monkeypatch.setattr(line, "look", falls_asleep)
    judged = [line.judge(shown, matcher, threshold, policy) for policy in (asked, door)]
    assert [(one.outcome, one.decision, one.repeated) for one in judged] == [
        (Reason.NO_FRAMES, None, False), (Reason.NO_FRAMES, None, True),
    ]  # fmt: skip
    monkeypatch.setattr(line, "look", look)
    assert isinstance(line.judge(frame(1, at=0.3), matcher, threshold, door).decision, Grant), (
        "a frame of after it is one of now"
    )


def test_another_person_does_not(line: Line, model: ModelFile, settings: Settings) -> None:
    face = line.look(frame(1))
    assert isinstance(face, Face)
    matcher = Matcher(model.head, [new_subject("ada", model.model_id, face.embedding[None])])
    judged = line.judge(frame(2), matcher, model.operating_point(1e-3).threshold, Policy(settings.policy))
    assert judged.outcome is Reason.NO_MATCH


def test_two_policies_judge_a_frame_that_is_looked_at_once(
    line: Line, model: ModelFile, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each policy has its own matcher and count. An equal frame is another frame. Nothing of a face is kept once its frame is gone."""
    face = line.look(frame(1))
    assert isinstance(face, Face)
    known = Matcher(model.head, [new_subject("ada", model.model_id, face.embedding[None])])
    threshold, looks, real = model.operating_point(1e-3).threshold, [0], line.look

    def look(seen: Frame) -> Face | Refusal:
        looks[0] += 1
        return real(seen)

    monkeypatch.setattr(line, "look", look)
    first, second = Policy(settings.policy), Policy(settings.policy)
    shown = frame(1)
    one = line.judge(shown, known, threshold, first)
    other = line.judge(shown, Matcher(model.head, []), threshold, second)
    assert (looks, one.repeated, other.repeated) == ([1], False, True)
    assert isinstance(one.outcome, Match)
    assert other.outcome is Reason.EMPTY_GALLERY
    assert line._last_observation is not None
    assert min(one.cost_ms, other.cost_ms) > line._last_observation.cost_ms > 0, "each costs what the frame did"
    assert not line.judge(frame(1), known, threshold, first).repeated
    assert not line.judge(shown, known, threshold, first).repeated, "only the last"
    del shown
    assert line._last_observation is None


def test_each_early_end_has_its_reason(line: Line) -> None:
    one = frame(1, View(size=0.2, x=-0.35))
    other = frame(2, View(size=0.2, x=0.35))
    both = Frame(np.hstack([one.pixels[:, :160], other.pixels[:, 160:]]), 0.0)
    dark = frame(1, replace(View(), brightness=0.31))
    for seen, reason in (
        (Frame(np.full((240, 320), 99, np.uint8), 0.0), Reason.NO_FACE),
        (both, Reason.SEVERAL_FACES),
        (dark, Reason.TOO_DARK),
    ):
        refusal = line.look(seen)
        assert isinstance(refusal, Refusal), reason
        assert refusal.reason is reason


def test_a_face_that_is_turned_away_is_neither_judged_nor_enrolled(model: ModelFile) -> None:
    """A challenge sees all the same how far it is turned."""
    straight = Line(model, Settings.model_validate({"detection": {"min_face_px": 60}, "quality": {"max_turn": 0.01}}))
    away = frame(1, View(yaw_deg=20.0))
    for refusal in (straight.look(away), straight.examine(away).outcome):
        assert isinstance(refusal, Refusal)
        assert refusal.reason is Reason.TOO_TURNED
        assert straight.seen is not None
        assert straight.seen.turn is not None
        assert abs(straight.seen.turn) > 0.01


def test_a_challenge_follows_a_face_that_is_not_fit_to_be_judged_and_none_that_is_gone(
    model: ModelFile, settings: Settings
) -> None:
    line = Line(model, settings)
    assert isinstance(line.look(frame(1, View(brightness=0.31))), Refusal)
    assert line.seen is not None
    assert line.seen.turn is None
    assert isinstance(line.look(Frame(np.full((240, 320), 99, np.uint8), 0.0)), Refusal)
    assert line.seen is None


def test_who_is_in_doubt_is_looked_at_twice_and_once_for_all(model: ModelFile, settings: Settings) -> None:
    """Two policies judge the frame, but the second look, a stage of its own, runs once. Its embedding is the one enrolment would keep."""
    unsure = replace(model, template=TemplateKind.MIRRORED, head=replace(model.head, doubt=(0.0, 1.0)))
    line, threshold = Line(unsure, settings), model.operating_point(1e-3).threshold
    kept = Line(unsure, settings).examine(frame(1)).outcome
    assert isinstance(kept, Enrollable)
    matcher = Matcher(unsure.head, [new_subject("ada", model.model_id, kept.template[None])])
    shown = frame(1)
    one = line.judge(shown, matcher, threshold, Policy(settings.policy))
    took = line.cost_ms["second look"]
    other = line.judge(shown, matcher, threshold, Policy(settings.policy))
    assert took > 0
    assert line.cost_ms["second look"] == took
    assert isinstance(one.outcome, Match)
    assert one.outcome == other.outcome
    assert one.outcome.score == score(unsure.head, kept.template, kept.template[None])[0], "both looks, against both looks"
    sure = Line(model, settings)
    sure.judge(
        shown,
        Matcher(model.head, [new_subject("ada", model.model_id, kept.template[None])]),
        threshold,
        Policy(settings.policy),
    )
    assert "second look" not in sure.cost_ms


@pytest.mark.parametrize(
    "view",
    [
        View(),
        View(brightness=0.31),
        View(blur_px=6.0),
        View(yaw_deg=20.0),
        View(size=0.11),
        View(size=0.47),
        View(size=0.03),
        View(roll_deg=18.0),
    ],
)
def test_enrolment_sees_a_frame_as_verification_does(model: ModelFile, settings: Settings, view: View) -> None:
    """Two fresh lines give the same outcome, to the last bit of an embedding."""
    looked, examined = Line(model, settings).look(frame(1, view)), Line(model, settings).examine(frame(1, view))
    if isinstance(looked, Refusal):
        assert examined.outcome == looked
    else:
        assert isinstance(examined.outcome, Enrollable)
        assert (examined.outcome.embedding == looked.embedding).all()
        assert (examined.outcome.template == looked.twice()).all()


def test_every_gate_is_measured_also_after_one_that_fails(line: Line) -> None:
    examined = line.examine(frame(1, View(brightness=0.31)))
    assert isinstance(examined.outcome, Refusal)
    assert examined.outcome.reason is Reason.TOO_DARK
    assert examined.box is not None
    assert examined.turn is not None
    # No tilt gauge: the tests' model has no aligner.
    assert [gauge.gate for gauge in examined.gauges] == [
        Gate.BRIGHTNESS, Gate.CONTRAST, Gate.SHARPNESS, Gate.SIZE, Gate.TURN,
    ]  # fmt: skip
    dark = {gauge.gate: gauge for gauge in examined.gauges}
    assert not dark[Gate.BRIGHTNESS].passes
    assert dark[Gate.BRIGHTNESS].value == examined.outcome.measured
    assert dark[Gate.SIZE].passes


def test_a_face_that_is_too_near_has_a_box_and_its_size(model: ModelFile) -> None:
    near = Settings.model_validate({"detection": {"min_face_px": 60}, "quality": {"max_face": 0.4}})
    examined = Line(model, near).examine(frame(1))
    assert isinstance(examined.outcome, Refusal)
    assert examined.outcome.reason is Reason.TOO_NEAR
    assert examined.box is not None
    (size,) = examined.gauges
    assert (size.gate, size.value, size.most, size.passes) == (Gate.SIZE, examined.box.width, 0.4 * 240, False)


def test_grey_frames_of_infrared_cameras_are_judged(line: Line) -> None:
    colour = frame(1).pixels
    assert isinstance(line.look(Frame(colour.mean(axis=2).astype(np.uint8), 0.0)), Face)


def test_what_is_no_frame_is_an_error(line: Line) -> None:
    with pytest.raises(InputError, match="expected uint8"):
        line.look(Frame(np.zeros((240, 320, 3), np.float32), 0.0))  # type: ignore[arg-type]


def test_a_required_challenge_cannot_be_forgotten(model: ModelFile) -> None:
    """A policy without a challenge judges nothing if the settings require one."""
    required = Settings.model_validate({"detection": {"min_face_px": 60}, "liveness": {"challenge": "head-turn"}})
    line, matcher = Line(model, required), Matcher(model.head, [])
    with pytest.raises(ValueError, match="load_liveness"):
        line.judge(frame(1), matcher, 0.5, Policy(required.policy))
    judged = line.judge(frame(1), matcher, 0.5, Policy(required.policy, liveness=load_liveness(required)))
    assert judged.decision is None


def test_a_still_picture_is_asked_and_not_granted(model: ModelFile) -> None:
    required = Settings.model_validate({"detection": {"min_face_px": 60}, "liveness": {"challenge": "head-turn"}})
    line = Line(model, required)
    face = line.look(frame(1))
    assert isinstance(face, Face)
    matcher = Matcher(model.head, [new_subject("ada", model.model_id, face.embedding[None])])
    policy = Policy(required.policy, liveness=load_liveness(required))
    judged = [line.judge(frame(1, at=n / 10), matcher, model.operating_point(1e-3).threshold, policy) for n in range(1, 120)]
    assert any(j.asked for j in judged)
    decisions = [j.decision for j in judged if j.decision is not None]
    assert decisions
    assert not any(isinstance(decision, Grant) for decision in decisions)
    assert decisions[0].reason is Reason.CHALLENGE_FAILED


def test_what_is_kept_of_a_face_is_what_the_model_was_measured_with(model: ModelFile, settings: Settings) -> None:
    mirrored = replace(model, template=TemplateKind.MIRRORED)
    plain, both = (Line(kind, settings).examine(frame(1)).outcome for kind in (model, mirrored))
    assert isinstance(plain, Enrollable)
    assert isinstance(both, Enrollable)
    assert np.array_equal(plain.template, plain.embedding)
    assert np.array_equal(both.embedding, plain.embedding)
    assert np.abs(both.template - both.embedding).max() > 1e-3
    assert score(model.head, both.embedding, both.template[None])[0] > 0.9
