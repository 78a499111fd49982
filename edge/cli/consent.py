"""Tells a person what is kept, before the first frame of an enrolment, and asks for consent. Prints to stderr; enrols nobody."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from edge.contract.errors import EnrolmentStopped, SettingsError
from edge.settings import Encryption, Settings

WORDS = """Before {name} is enrolled:
- The device keeps templates: numbers that a network makes of the face, with the name and the time. No picture is kept.
- They are in {folder} on this device{encrypted}, and are sent nowhere. Root and the service's user can read them.
- Each time {name} is recognised, the journal notes it with the time. Root and the groups systemd-journal and adm can read that.
- `edge remove {name}` deletes the templates at any time. `edge takeout {name}` hands them out, with all that is kept beside them.
More about it, and what whoever runs the door must do: docs/privacy.md"""


def consent_words(settings: Settings, name: str, folder: Path) -> str:
    """The operator's own words, if the settings have some, or ours. `folder` is where the templates will be.

    Raises:
        SettingsError: the file of the operator's words cannot be read. Ours do not replace them then.
    """
    words = settings.enrolment.consent_text
    if words.startswith("/"):
        try:
            words = Path(words).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"enrolment.consent_text = {words}: cannot be read: {error}; nobody is enrolled without it"
            ) from error
    encrypted = "" if settings.gallery.encrypt is Encryption.NONE else ", encrypted"
    fields = {"name": name, "folder": str(folder), "encrypted": encrypted}
    words = words.strip() or WORDS
    for key, value in fields.items():
        words = words.replace(f"{{{key}}}", value)
    return words


def ask_consent(words: str, name: str, *, already_given: bool) -> None:
    """Shows the words, and asks if this is a terminal, unless consent is `already_given`.

    Raises:
        EnrolmentStopped: the answer is no, or none.
    """
    console = Console(stderr=True, soft_wrap=True)
    console.print(words, markup=False, highlight=False)
    if already_given or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    # Not typer.confirm: it writes a blank to stdout, which is reserved for --json.
    console.print(f"Does {name} agree? [y/N] ", end="", markup=False, highlight=False)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise EnrolmentStopped(f"{name}: did not agree; no frame was looked at, and nothing is kept")
