"""An enrolment's progress is the same after it went over the bus."""

from __future__ import annotations

import pytest

from edge.bus.details import pack, unpack
from edge.poses import Asking, Course
from edge.progress import AIM, ASPECT, Box, Progress
from edge.quality import Gate, Gauge
from edge.settings import Settings

SHOWN = Progress(
    3,
    32,
    "look straight into the camera",
    Course(Settings(), Asking.PERSON).counts(),
    "blurred",
    "blurred; hold still (6 of 10)",
    (Gauge(Gate.BRIGHTNESS, 120.0, 45.0, 220.0), Gauge(Gate.SHARPNESS, 6.0, 10.0)),
    Box(0.25, 0.2, 0.3, 0.4),
    16 / 9,
    0.35,
)


def over_the_bus(shown: Progress) -> Progress:
    """Packs and unpacks as for the signal; dbus-fast checks each value against its signature."""
    variant = pytest.importorskip("dbus_fast").Variant
    details = {key: variant(*packed).value for key, packed in pack(shown).items()}
    return unpack({"have": shown.have, "want": shown.want, "reason": shown.reason, "text": shown.advice, **details})


def test_it_comes_back_as_it_was() -> None:
    assert over_the_bus(SHOWN) == SHOWN


def test_where_there_is_nothing_nothing_is_made_up() -> None:
    empty = Progress(0, 32, "", (), "", "", (), None, 4 / 3, 0.4)
    assert over_the_bus(empty) == empty


def test_a_daemon_from_before_an_upgrade_is_shown_as_far_as_it_goes() -> None:
    old = {"text": "too dark; turn a light on (31 of 45)", "reason": "too-dark", "have": 3, "want": 32}
    assert unpack(old) == Progress(3, 32, reason="too-dark", advice=old["text"], aspect=ASPECT, aim=AIM)
