"""The result of a check: pass, warn or fail, worded for the screen and for a report that may be sent to others. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """`warn`: it works, but needs attention. `fail`: it does not work, or is not safe."""

    PASS = "pass"  # noqa: S105 - a verdict
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `edge doctor`: what was found, and how to fix it if something is wrong.

    `message` and `mend` write private values as {word}. The screen shows the value that `private` has for the word, a report only <word>.
    So no personal data get into a report unless its author put them into the text.
    """

    check: str
    verdict: Verdict
    message: str
    mend: str = ""
    private: Mapping[str, str] = field(default_factory=dict)

    def shown(self) -> dict[str, str]:
        """The finding for the machine's administrator, with every value."""
        return self._as_dict(lambda word: self.private[word])

    def shared(self) -> dict[str, str]:
        """The finding for others, with words in place of private values."""
        return self._as_dict(lambda word: f"<{word}>")

    def _as_dict(self, value: Callable[[str], str]) -> dict[str, str]:
        def filled(text: str) -> str:
            return _WORD.sub(lambda match: value(match[1]) if match[1] in self.private else match[0], text)

        return {
            "check": self.check,
            "verdict": self.verdict.value,
            "found": filled(self.message),
            "mend": filled(self.mend),
        }


def passed(check: str, message: str, **private: str) -> Finding:
    """The finding of a check with nothing to fix."""
    return Finding(check, Verdict.PASS, message, "", private)


def warned(check: str, message: str, mend: str, **private: str) -> Finding:
    """The finding for something that works, but needs attention."""
    return Finding(check, Verdict.WARN, message, mend, private)


def failed(check: str, message: str, mend: str, **private: str) -> Finding:
    """The finding for something that does not work, or is not safe."""
    return Finding(check, Verdict.FAIL, message, mend, private)


_WORD = re.compile(r"\{([a-z_]+)\}")
