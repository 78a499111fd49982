"""What a person sees while enrolling: rendered into a console of a fixed size, or as lines if there is no console."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from edge.cli.guide import Lines, View
from edge.cli.outline import ROWS, columns, draw_outline
from edge.poses import SENTENCES, Count, Pose
from edge.progress import Box, Progress
from edge.quality import Gate, Gauge

MANUAL = Path(__file__).parents[4] / "docs" / "install.md"
POSES = (Count(Pose.STRAIGHT, 8, 8, False), Count(Pose.LEFT, 3, 6, False), Count(Pose.RIGHT, 1, 6, True))
SHOWN = Progress(
    12,
    32,
    SENTENCES[Pose.LEFT],
    POSES,
    "blurred",
    "blurred; hold still (6 of 10)",
    (
        Gauge(Gate.BRIGHTNESS, 121, 45, 220),
        Gauge(Gate.CONTRAST, 38, 12),
        Gauge(Gate.SHARPNESS, 6, 10),
        Gauge(Gate.SIZE, 180, 80, 408),
        Gauge(Gate.TURN, 0.14, 0.1, 0.28),
    ),
    Box(0.3, 0.2, 0.3, 0.4),
    4 / 3,
    0.38,
)


def render(shown: Progress, width: int = 80, encoding: str = "utf-8", title: str = "enrolling ada") -> list[str]:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding)
    Console(file=file, width=width, color_system=None, force_terminal=True, legacy_windows=False).print(View(title, shown))
    file.flush()
    return raw.getvalue().decode(encoding).splitlines()


def row(lines: list[str], word: str) -> str:
    (found,) = (line for line in lines if word in line)
    return found


def test_every_gate_has_its_bar_value_bounds_and_mark() -> None:
    lines = render(SHOWN)
    for words in (
        "121 45 to 220    ✓",
        " 38 from 12      ✓",
        "  6 from 10      ✗",
        "180 80 to 408    ✓",
        "0.14 0.10 to 0.28 ✓",
    ):
        row(lines, words)
    assert row(lines, "tilt").rstrip().endswith("tilt")


def test_a_bar_is_as_long_as_its_value_and_marks_its_bounds() -> None:
    """13 characters stand for 30, three times the limit of 10: a value of 6 fills 2.6 of them, 21 nine, 300 all; the limit is at 4.3."""

    def bar(value: float) -> str:
        shown = replace(SHOWN, gauges=(Gauge(Gate.SHARPNESS, value, 10),))
        return row(render(shown), "sharpness").split("sharpness")[1].split()[0]

    assert bar(6) == "━━━╌│╌╌╌╌╌╌╌╌"
    assert bar(21) == "━━━━│━━━━╌╌╌╌"
    assert bar(300) == "━━━━│━━━━━━━━"
    assert bar(-1) == "╌╌╌╌│╌╌╌╌╌╌╌╌"


def test_sentence_counts_and_advice_are_told() -> None:
    lines = render(SHOWN)
    assert lines[0].rstrip() == "enrolling ada  12/32"
    assert lines[1].rstrip() == "turn your head a little to your left"
    row(lines, "straight 8/8 ✓  left 3/6  right 1/6 passed over")
    assert lines[-1].rstrip() == "blurred; hold still (6 of 10)"


def test_the_view_keeps_its_height_with_and_without_a_face() -> None:
    """The face may move, but not the lines below it."""
    gone = replace(SHOWN, face=None, gauges=(), advice="", reason="")
    assert len(render(gone)) == len(render(SHOWN)) == 2 + ROWS + 2 + 2


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_it_fits_the_terminal(width: int) -> None:
    for aspect in (3 / 4, 4 / 3, 16 / 9):
        lines = render(replace(SHOWN, aspect=aspect), width)
        assert max(map(len, lines)) <= width
        row(lines, "from 10")


def test_a_terminal_of_ascii_gets_ascii() -> None:
    lines = render(SHOWN, encoding="ascii")
    assert all(line.isascii() for line in lines)
    row(lines, "6 from 10      no")
    assert any("o" in line.split("|")[1] for line in lines if line.startswith("|"))


def test_an_outline_is_where_the_face_is_and_as_large() -> None:
    """27 columns and ten rows for a 4:3 frame. The face is 0.3 by 0.4 of it, in the upper left. Its oval is 0.9 times as wide and 1.25
    times as high around the same centre (0.45, 0.4): from 0.315 to 0.585 of the width and from 0.15 to 0.65 of the height."""
    lines = draw_outline(Box(0.3, 0.2, 0.3, 0.4), 0.38, 4 / 3, good=True, plain=True).plain.split("\n")
    assert [len(line) for line in lines] == [27] * 10
    hit = [(column, number) for number, line in enumerate(lines) for column, mark in enumerate(line) if mark == "o"]
    across, down = [column for column, _ in hit], [number for _, number in hit]
    assert (min(across), max(across)) == (int(0.315 * 27), int(0.585 * 27))
    assert (min(down), max(down)) == (1, 6)


def test_the_wanted_oval_is_in_the_middle_and_a_face_there_covers_it() -> None:
    lines = draw_outline(None, 0.38, 4 / 3, good=False, plain=True).plain.split("\n")
    dots = [(column, number) for number, line in enumerate(lines) for column, mark in enumerate(line) if mark == "."]
    assert sum(column for column, _ in dots) / len(dots) == pytest.approx(13, abs=1)
    assert sum(number for _, number in dots) / len(dots) == pytest.approx(4.5, abs=1)
    aim = 0.38
    there = Box(0.5 - aim * 0.75 / 2, 0.5 - aim / 2, aim * 0.75, aim)
    assert "." not in draw_outline(there, aim, 4 / 3, good=True, plain=True).plain


def test_a_face_that_leaves_the_frame_is_cut_off() -> None:
    for box in (Box(-0.1, -0.2, 0.3, 0.4), Box(0.9, 0.9, 0.3, 0.4), Box(3, 3, 1, 1)):
        lines = draw_outline(box, 0.38, 4 / 3, good=True, plain=True).plain.split("\n")
        assert [len(line) for line in lines] == [columns(4 / 3)] * ROWS


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lines_tell_each_change_at_most_once_a_second() -> None:
    out, clock = io.StringIO(), Clock()
    lines = Lines(Console(file=out, width=200), "enrolling ada", clock)
    start = Progress(0, 32, SENTENCES[Pose.STRAIGHT], (Count(Pose.STRAIGHT, 0, 8, False),))
    left = (Count(Pose.STRAIGHT, 8, 8, False), Count(Pose.LEFT, 0, 6, False))
    for at, shown in (
        (0.0, start),
        (0.1, start),
        (0.5, replace(start, advice="too dark; turn a light on (31 of 45)")),
        (1.2, replace(start, advice="too dark; turn a light on (31 of 45)")),
        (2.3, replace(start, have=8, sentence=SENTENCES[Pose.LEFT], poses=left)),
        (11.0, replace(start, have=8, sentence=SENTENCES[Pose.LEFT], poses=left)),
        (12.0, replace(start, have=8, sentence=SENTENCES[Pose.RIGHT], poses=(left[0], left[1]._replace(over=True)))),
        (13.2, replace(start, have=8, sentence=SENTENCES[Pose.RIGHT], poses=(left[0], left[1]._replace(over=True)))),
        (13.5, replace(start, have=9, sentence=SENTENCES[Pose.RIGHT], poses=(left[0], left[1]._replace(over=True)))),
    ):
        clock.now = at
        lines(shown)
    assert out.getvalue().splitlines() == [
        "enrolling ada",
        "0/32 look straight into the camera",
        "0/32 look straight into the camera; too dark; turn a light on (31 of 45)",
        "8/32 turn your head a little to your left",
        "8/32 going on without left; turn your head a little to your right",
        "9/32 turn your head a little to your right",
    ]


def test_lines_draw_nothing() -> None:
    out = io.StringIO()
    Lines(Console(file=out, width=200), "enrolling ada", Clock())(SHOWN)
    assert out.getvalue() == (
        "enrolling ada\n12/32 going on without right; turn your head a little to your left; blurred; hold still (6 of 10)\n"
    )


def test_the_manual_shows_what_a_person_sees() -> None:
    poses = (
        Count(Pose.STRAIGHT, 8, 8, False),
        Count(Pose.LEFT, 3, 6, False),
        *(Count(pose, 0, 6, False) for pose in (Pose.RIGHT, Pose.UP, Pose.DOWN)),
    )
    shown = replace(
        SHOWN, have=11, poses=poses, gauges=(*SHOWN.gauges, Gauge(Gate.TILT, 3, most=12)), face=Box(0.3, 0.22, 0.3, 0.4)
    )
    view = "\n".join(line.rstrip() for line in render(shown, title="enrolling ada: stand where you will stand later"))
    assert f"```text\n{view}\n```" in MANUAL.read_text(), view
