"""The text shown before an enrolment: ours or the operator's, and never ours if the operator's cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.cli.consent import consent_words
from edge.contract.errors import SettingsError
from edge.settings import Settings

FOLDER = Path("/var/lib/facelatch/gallery")


def settings(text: str = "", encrypt: str = "none") -> Settings:
    gallery = {"encrypt": encrypt, "key_file": "/k" if encrypt == "file" else ""}
    return Settings.model_validate({"enrolment": {"consent_text": text}, "gallery": gallery})


def test_ours_say_what_where_who_and_how_to_get_out() -> None:
    words = consent_words(settings(), "ada", FOLDER)
    for told in ("templates", "No picture is kept", str(FOLDER), "Root", "edge remove ada", "docs/privacy.md"):
        assert told in words
    assert "{" not in words
    assert "encrypted" not in words
    assert ", encrypted, and are sent nowhere" in consent_words(settings(encrypt="file"), "ada", FOLDER)


def test_the_operators_are_taken_as_they_are() -> None:
    assert consent_words(settings("Hello {name}, {rooms} {0} [bold]"), "ada", FOLDER) == "Hello ada, {rooms} {0} [bold]"


def test_the_operators_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "words").write_text("Grüße, {name}: {folder}\n", encoding="utf-8")
    assert consent_words(settings(str(tmp_path / "words")), "ada", FOLDER) == f"Grüße, ada: {FOLDER}"


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_enrols_nobody(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "words").write_bytes(content)
    with pytest.raises(SettingsError, match=r"enrolment\.consent_text = .*words: cannot be read"):
        consent_words(settings(str(tmp_path / "words")), "ada", FOLDER)
