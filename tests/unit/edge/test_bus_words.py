"""Between the daemon and the bus: results in words that fprintd's clients know, and a caller without a user name, who is no subject."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("dbus_fast")

from edge.bus.authority import Authority
from edge.bus.fprint import DeviceInterface, _result_name
from edge.bus.seat import Result, Status
from edge.liveness import Way
from edge.reasons import MENDABLE, Reason

KNOWN = {"retry-scan", "finger-not-centered", "remove-and-retry"}


@pytest.mark.parametrize("reason", [*sorted(MENDABLE), *Way])
def test_every_retry_has_a_word_of_fprintds(reason: Reason | Way) -> None:
    assert _result_name(Status(Result.RETRY, False, "", reason.value)) in KNOWN


def test_too_far_is_not_centred() -> None:
    assert _result_name(Status(Result.RETRY, False, "", Reason.TOO_FAR.value)) == "finger-not-centered"


def test_nothing_but_a_match_is_one() -> None:
    assert {result: _result_name(Status(result, True)) for result in Result} == {
        Result.MATCH: "match",
        Result.NO_MATCH: "no-match",
        Result.RETRY: "retry-scan",
        Result.PROGRESS: "stage-passed",
        Result.ENROLLED: "completed",
        Result.FAILED: "failed",
        Result.DISCONNECTED: "disconnected",
        Result.ERROR: "unknown-error",
    }


def test_a_client_hears_each_stage_once_and_of_a_missing_face_only_at_the_end() -> None:
    heard = list[list[object]]()
    device = DeviceInterface(None, None, lambda *signal: heard.append(signal[-1]), 4)  # type: ignore[arg-type]
    tell = device._status_sender(":1.7", "enroll")
    for have in range(9):
        tell(Status(Result.PROGRESS, False, have=have, want=8))
    assert heard == [["enroll-stage-passed", False]] * 4
    heard.clear()
    tell = device._status_sender(":1.7", "verify")
    tell(Status(Result.RETRY, False, reason=Reason.NO_FACE))
    tell(Status(Result.RETRY, False, reason=Reason.TOO_DARK))
    tell(Status(Result.NO_MATCH, True, reason=Reason.NO_FACE))
    assert heard == [["verify-retry-scan", False], ["verify-no-match", True]]


@pytest.mark.parametrize(
    ("user", "subject", "own"), [("ada", "ada", True), ("ada", "bob", False), ("", "", False), ("ada", "", False)]
)
def test_only_a_name_can_be_ones_own(monkeypatch: pytest.MonkeyPatch, user: str, subject: str, own: bool) -> None:
    """A uid without a user name must not pass for the empty subject, which means anyone."""

    async def named(self: Authority, caller: str) -> str:
        return user

    monkeypatch.setattr(Authority, "user", named)
    authority = Authority(None, refuse_remote=True)  # type: ignore[arg-type]
    assert asyncio.run(authority.is_own(":1.7", subject)) is own
