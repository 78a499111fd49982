"""The straight line: a frame in, an outcome and at times a decision out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.camera import Frame
from edge.contract.errors import InputError
from edge.contract.modelfile import ModelFile
from edge.gallery import new_subject
from edge.line import Face, Line
from edge.liveness import load_liveness
from edge.matcher import Match, Matcher
from edge.policy import Grant, Policy
from edge.quality import Refusal
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
    return Line(model, Settings.model_validate({"detection": {"min_face_px": 60}}))


def test_the_same_frame_matches_and_grants(line: Line, model: ModelFile, settings: Settings) -> None:
    face = line.look(frame(1))
    assert isinstance(face, Face)
    matcher = Matcher(model.head, [new_subject("ada", model.model_id, face.embedding[None])])
    policy = Policy(settings.policy)
    judged = [line.judge(frame(1, at=n / 10), matcher, model.operating_point(1e-3).threshold, policy) for n in range(3)]
    assert all(isinstance(j.outcome, Match) for j in judged)
    assert [type(j.decision) for j in judged] == [type(None), type(None), Grant]


def test_another_person_does_not(line: Line, model: ModelFile, settings: Settings) -> None:
    face = line.look(frame(1))
    assert isinstance(face, Face)
    matcher = Matcher(model.head, [new_subject("ada", model.model_id, face.embedding[None])])
    judged = line.judge(frame(2), matcher, model.operating_point(1e-3).threshold, Policy(settings.policy))
    assert judged.outcome is Reason.NO_MATCH


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


def test_grey_frames_of_infrared_cameras_are_judged(line: Line) -> None:
    colour = frame(1).pixels
    assert isinstance(line.look(Frame(colour.mean(axis=2).astype(np.uint8), 0.0)), Face)


def test_what_is_no_frame_is_an_error(line: Line) -> None:
    with pytest.raises(InputError, match="expected uint8"):
        line.look(Frame(np.zeros((240, 320, 3), np.float32), 0.0))  # type: ignore[arg-type]


def test_a_required_challenge_cannot_be_forgotten(model: ModelFile) -> None:
    """A policy that asks for nothing, where the settings require it, judges nothing."""
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
