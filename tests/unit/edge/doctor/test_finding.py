"""What the screen shows of a finding, and what a report may contain of it."""

from __future__ import annotations

from edge.doctor.finding import failed, passed


def test_the_screen_has_the_values_and_a_report_only_their_words() -> None:
    finding = failed("camera", "{source}: not there", "plug {source} in", source="/home/ada/x.avi")
    assert finding.shown()["found"] == "/home/ada/x.avi: not there"
    assert finding.shown()["mend"] == "plug /home/ada/x.avi in"
    assert finding.shared() == {
        "check": "camera",
        "verdict": "fail",
        "found": "<source>: not there",
        "mend": "plug <source> in",
    }


def test_braces_that_name_nothing_stay_as_they_are() -> None:
    assert passed("model", "{}, {other} {file}", file="{file} {other}").shown()["found"] == "{}, {other} {file} {other}"
