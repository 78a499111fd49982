"""The manual's page of settings agrees with the settings."""

from __future__ import annotations

from pathlib import Path

from edge.manual import as_markdown
from edge.settings import Settings

PAGE = Path(__file__).parents[3] / "docs/configuration.md"


def test_the_page_is_the_one_that_is_made() -> None:
    assert PAGE.read_text() == as_markdown(), "make it again: edge config docs > docs/configuration.md"


def test_every_key_has_a_row_with_a_meaning() -> None:
    rows = [line for line in as_markdown().splitlines() if line.startswith("| `")]
    keys = [key for table in Settings().model_dump().values() for key in table]
    assert [row.split("`")[1] for row in rows] == keys
    assert [row for row in rows if row.endswith("|  |")] == []


def test_limits_are_those_of_the_types() -> None:
    page = as_markdown()
    assert "| `rotate` | `0` | `0`, `90`, `180`, `270` | degrees clockwise that frames are turned by |" in page
    assert "| `lockout_s` | `30.0` | number from 30 to 86400 | rest after that denial and each further one |" in page
    assert "| `target_fmr` | `0.001` | number above 0 below 1 |" in page
    assert '| `kind` | `"log"` | `"log"`, `"command"`, `"gpio"`, `"unlock-session"` |' in page
