"""What a check found: pass, warn or fail, in words for the screen and in words that may be sent to someone. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """`warn`: it works, and something should be looked at. `fail`: it does not work, or is not safe."""

    PASS = "pass"  # noqa: S105 - a verdict
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `edge doctor`: what was found, and the mend where there is something to mend.

    `said` and `mend` name values that are somebody's own as {word}. The screen shows what `private` holds under the word, a
    report only <word>: nothing of a person gets into a report that was not put there by its author.
    """

    check: str
    verdict: Verdict
    said: str
    mend: str = ""
    private: Mapping[str, str] = field(default_factory=dict)

    def shown(self) -> dict[str, str]:
        """For the machine's own administrator: every value."""
        return self._told(lambda word: self.private[word])

    def shared(self) -> dict[str, str]:
        """For others: words in the place of private values."""
        return self._told(lambda word: f"<{word}>")

    def _told(self, value: Callable[[str], str]) -> dict[str, str]:
        def filled(text: str) -> str:
            return _WORD.sub(lambda found: value(found[1]) if found[1] in self.private else found[0], text)

        return {
            "check": self.check,
            "verdict": self.verdict.value,
            "found": filled(self.said),
            "mend": filled(self.mend),
        }


def passed(check: str, said: str, **private: str) -> Finding:
    """A check with nothing to mend."""
    return Finding(check, Verdict.PASS, said, "", private)


def warned(check: str, said: str, mend: str, **private: str) -> Finding:
    """A check that works and should be looked at."""
    return Finding(check, Verdict.WARN, said, mend, private)


def failed(check: str, said: str, mend: str, **private: str) -> Finding:
    """A check that does not work, or is not safe."""
    return Finding(check, Verdict.FAIL, said, mend, private)


_WORD = re.compile(r"\{([a-z_]+)\}")
