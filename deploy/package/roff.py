"""Writes text with groff's man macros. Knows nothing of commands and settings."""

from __future__ import annotations

import re
from datetime import date

# Without these escapes, text copied from the page is wrong: roff prints a hyphen for -, a quotation mark for ', an accent for ^.
_ASCII = str.maketrans({"\\": "\\e", "-": "\\-", "'": "\\(aq", '"': "\\(dq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti"})


def plain(text: str) -> str:
    """Escapes text so that roff prints it literally; characters beyond ASCII by their code points."""
    return "".join(letter if letter.isascii() else f"\\[u{ord(letter):04X}]" for letter in text.translate(_ASCII))


def prose(text: str) -> str:
    """A paragraph on one line, with `code` in bold. A dot at its start, which would begin a roff request, is guarded."""
    parts = re.split(r"`([^`]+)`", " ".join(text.split()))
    return "\\&" * text.startswith(".") + "".join(bold(part) if index % 2 else plain(part) for index, part in enumerate(parts))


def bold(text: str) -> str:
    return f"\\fB{plain(text)}\\fR"


def italic(text: str) -> str:
    return f"\\fI{plain(text)}\\fR"


class Page:
    """A manual page, built from top to bottom. `text()` returns the source for man."""

    def __init__(self, name: str, section: int, dated: date, source: str) -> None:
        self._lines = [f'.TH {plain(name.upper())} {section} {dated.isoformat()} "{plain(source)}" "facelatch"', ".nh", ".ad l"]

    def section(self, title: str) -> None:
        self._lines.append(f'.SH "{plain(title.upper())}"')

    def subsection(self, title: str) -> None:
        self._lines.append(f'.SS "{plain(title)}"')

    def paragraph(self, roff: str) -> None:
        """A paragraph; `roff` comes from `prose`, `bold` and `italic`."""
        self._lines += [".PP", roff]

    def item(self, tag: str, roff: str) -> None:
        """A tag, with its meaning indented below it."""
        self._lines += [".TP", tag, roff or "\\&"]

    def example(self, lines: list[str]) -> None:
        """Lines to be typed, printed literally."""
        self._lines += [".PP", ".in +4n", ".nf", *("\\&" + plain(line) for line in lines), ".fi", ".in"]

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"
