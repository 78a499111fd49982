"""What the person being enrolled sees: a live view in a terminal, plain lines elsewhere. Prints to stderr; decides nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edge.cli.outline import columns, draw_outline
from edge.poses import Count
from edge.progress import Progress
from edge.quality import Gate, Gauge

LINE_EVERY_S = 1.0
# Each drawing takes some milliseconds of the core that processes the frames.
_DRAWN_PER_S = 5
Show = Callable[[Progress], None]

# Characters beside a gauge's bar: its name, value, bounds and mark, and the gaps between them.
_BESIDE_BAR = 37
_BARS = range(6, 25)
_FINE = frozenset({Gate.TURN})


@contextmanager
def guide(title: str) -> Iterator[Show]:
    """Yields a function that shows progress. Nothing is shown before its first call, so that an early error is printed alone."""
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield Lines(Console(stderr=True, soft_wrap=True), title)
        return
    live = Live(console=console, refresh_per_second=_DRAWN_PER_S, transient=True)

    def show(progress: Progress) -> None:
        live.update(View(title, progress))
        live.start(refresh=True)

    try:
        yield show
    finally:
        live.stop()


class View:
    """One moment of an enrolment, as wide as the console."""

    def __init__(self, title: str, progress: Progress) -> None:
        self._title, self._progress = title, progress

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        progress, plain = self._progress, options.ascii_only
        outline = draw_outline(progress.face, progress.aim, progress.aspect, good=not progress.reason, plain=plain)
        frame_width = columns(progress.aspect) + 2
        beside = options.max_width - frame_width - 1 >= _BESIDE_BAR + _BARS.start
        room = options.max_width - _BESIDE_BAR - (frame_width + 1 if beside else 0)
        gauges = _gauges(progress.gauges, min(max(room, _BARS.start), _BARS.stop), plain=plain)
        body = Table.grid(padding=(0, 1, 0, 0))
        frame = Panel(outline, padding=0, width=frame_width, border_style="dim")
        if beside:
            body.add_row(frame, Group(Text(), gauges))
        else:
            body.add_row(frame)
            body.add_row(gauges)
        yield Group(
            Text(f"{self._title}  {progress.have}/{progress.want}"),
            Text(progress.sentence or " ", "bold"),
            body,
            _counts(progress, plain=plain),
            Text(progress.advice or " ", "bold yellow"),
        )


class Lines:
    """The guide for the journal of facelatch-enroll@ and for pipes: a line when something has changed, at most one a second."""

    def __init__(self, console: Console, title: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._title, self._clock = console, title, clock
        self._last_text, self._printed_at = "", float("-inf")
        self._over: set[str] = set()

    def __call__(self, progress: Progress) -> None:
        if self._title:
            self._console.print(self._title)
            self._title = ""
        over = {count.pose.value for count in progress.poses if count.over} if progress.sentence else set()
        skipped = f"going on without {', '.join(sorted(over - self._over))}" if over - self._over else ""
        counts, words = f"{progress.have}/{progress.want}", "; ".join(filter(None, (progress.sentence, progress.advice)))
        now = self._clock()
        if f"{counts} {words}" != self._last_text and now - self._printed_at >= LINE_EVERY_S:
            line = "; ".join(filter(None, (skipped, words)))
            self._console.print(f"{counts} {line}".rstrip(), markup=False, highlight=False)
            self._last_text, self._printed_at, self._over = f"{counts} {words}", now, over


def _gauges(gauges: tuple[Gauge, ...], bar: int, *, plain: bool) -> Table:
    """A row for every gate, even if nothing was measured: the rows stay where the person looks at them."""
    table = Table.grid(padding=(0, 1, 0, 0))
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right", min_width=5)
    table.add_column(no_wrap=True, min_width=12)
    table.add_column(no_wrap=True, min_width=2)
    measured = {gauge.gate: gauge for gauge in gauges}
    for gate in Gate:
        gauge = measured.get(gate)
        if gauge is None:
            table.add_row(Text(gate.value, "dim"), " " * bar)
            continue
        bounds = Text(_bounds(gauge), "dim")
        table.add_row(
            gate.value, _bar(gauge, bar, plain=plain), _number(gauge, gauge.value), bounds, _mark(gauge.passes, plain)
        )
    return table


def _bar(gauge: Gauge, width: int, *, plain: bool) -> Text:
    full, empty, bound = ("#", "-", "|") if plain else ("━", "╌", "│")
    filled = min(max(round(width * gauge.value / _full(gauge)), 0), width)
    bounds = {min(int(width * at / _full(gauge)), width - 1) for at in (gauge.least, gauge.most) if 0 < at < math.inf}
    drawn = "".join(bound if at in bounds else full if at < filled else empty for at in range(width))
    return Text.assemble((drawn[:filled], "green" if gauge.passes else "yellow"), (drawn[filled:], "dim"))


def _full(gauge: Gauge) -> float:
    """The value that fills the bar."""
    return 3 * gauge.least if math.isinf(gauge.most) else gauge.most * 1.25


def _number(gauge: Gauge, value: float) -> str:
    return f"{value:.{2 if gauge.gate in _FINE else 0}f}"


def _bounds(gauge: Gauge) -> str:
    least, most = _number(gauge, gauge.least), _number(gauge, gauge.most)
    if math.isinf(gauge.most):
        return f"from {least}"
    return f"{least} to {most}" if gauge.least else f"to {most}"


def _mark(good: bool, plain: bool) -> Text:
    words = ("ok", "no") if plain else ("✓", "✗")
    return Text(words[0], "green") if good else Text(words[1], "bold yellow")


def _counts(progress: Progress, *, plain: bool) -> Text:
    text = Text()
    current = next((count for count in progress.poses if not count.over and count.have < count.want), None)
    for count in progress.poses:
        text.append("  " if text else "")
        text.append(_count(count, plain=plain), "bold" if count is current else "green" if count.have == count.want else "dim")
    return text


def _count(count: Count, *, plain: bool) -> str:
    if count.have == count.want:
        return f"{count.pose.value} {count.have}/{count.want}{'' if plain else ' ✓'}"
    return f"{count.pose.value} {count.have}/{count.want}{' passed over' if count.over else ''}"
