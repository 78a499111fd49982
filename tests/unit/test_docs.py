"""The manuals: every link has a target, and every command, option, setting and event that they name exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import typer.main

from edge.cli import app as edge
from edge.journal import Event
from edge.settings import Settings
from edge.station import MOST_TEMPLATES
from export.cli import app as export
from trainer.cli import app as trainer

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MANUALS = sorted(path.stem for path in (ROOT / "docs").glob("*.md") if path.name != "README.md")
APPS = {"edge": edge, "trainer": trainer, "export": export}


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, heading = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        assert found.exists(), f"{page.name}: {target}"
        assert not heading or heading in anchors(found), f"{page.name}: {target}"


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each of our commands in a page's shell blocks, from the program's name on."""
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
        block = re.sub(r"<<'END'\n.*?\nEND\n", "\n", block, flags=re.DOTALL).replace("\\\n", " ")
        for line in block.splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            for is_end, words in groupby(lexer, lambda word: bool(re.fullmatch(r"[;|&<>()]+", word))):
                if not is_end and (found := ours(list(words))):
                    yield found


def ours(words: list[str]) -> list[str]:
    """The words from our program's name on, without what runs it (sudo, env, ssh). A bare `export` is the shell's own."""
    for at, word in enumerate(words):
        if word in APPS and (word != "export" or words[at - 1] in ("-m", "facelatch", "run")):
            return words[at:]
    return []


def unknown(words: list[str]) -> str:
    """The parts of a command that do not exist; empty if all do."""
    command: Any = typer.main.get_command(APPS[words[0]])
    rest = words[1:]
    while hasattr(command, "commands"):
        below = command.get_command(None, rest[0]) if rest else None
        if below is None:
            return f"{rest[:1]} of {words}"
        command = below
        rest.pop(0)
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return ", ".join(word for word in rest if word.startswith("-") and word.split("=")[0] not in options | {"--help"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_option_exists(page: Path) -> None:
    assert [problem for words in commands(page) if (problem := unknown(words))] == []


def test_the_check_of_commands_finds_what_is_wrong(tmp_path: Path) -> None:
    page = tmp_path / "x.md"
    page.write_text(
        "```sh\nsudo -u facelatch A=b edge verify ada --sideways  # x\nls | edge shout\nexport A='b c'\n"
        "for d in a; do ssh \"$d\" sudo edge list --json | jq '.a[]'; done\npython -m export tflite --shout\n```\n"
    )
    found = [unknown(words) for words in commands(page)]
    assert found == ["--sideways", "['shout'] of ['edge', 'shout']", "", "--shout"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_setting_that_is_named_exists(page: Path) -> None:
    tables = Settings().model_dump()
    for table, key in re.findall(rf"`({'|'.join(tables)})\.([a-z_]+)\b(?!\()", page.read_text()):
        if key not in ("tflite", "toml", "py"):
            assert key in tables[table], f"{page.name}: {table}.{key}"


def test_every_event_that_is_named_exists() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    named = re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)
    assert sorted(named) == sorted(event.label for event in Event)


def test_the_index_has_every_manual_and_nothing_else() -> None:
    index = (ROOT / "docs/README.md").read_text()
    listed = re.findall(r"^\| \[([a-z-]+)\.md\]\(\1\.md\) \|", index, re.MULTILINE)
    assert sorted(listed) == MANUALS


# `8.8 % (6.6-11.4)`, `90.3 instead of 91.5 %`, `0.0-4.0 %`
SHARE = re.compile(
    r"(?:(\d+\.\d+)(?: (?:instead of|to|and) (\d+\.\d+))?|(\d+\.\d+)-(\d+\.\d+)) %(?: \((\d+\.\d+)-(\d+\.\d+)\))?"
)
CARDS = {name: (ROOT / f"docs/model-cards/{name}.md").read_text() for name in ("accurate", "compact")}
Share = tuple[str, ...]


def shares(text: str) -> set[Share]:
    """All percentages with a decimal point: a figure alone, one with its interval, or an interval alone."""
    found: set[Share] = set()
    for one, other, low, high, least, most in SHARE.findall(text):
        if low:
            found.add((low, high))
        found |= {(one, least, most)} if least else {(figure,) for figure in (one, other) if figure}
    return found


def left(share: Share) -> Share:
    """The complement to a hundred, such as the FNMR of a TAR. The ends of an interval change places."""
    rest = tuple(f"{100 - float(number):.1f}" for number in share)
    return rest if len(rest) == 1 else (*rest[:-2], rest[-1], rest[-2])


def not_in_the_card(text: str) -> list[Share]:
    """The percentages in lines that name models, except those that a card of these models has, or whose complement it has. A figure
    without an interval may have one in the card.
    """
    wrong: list[Share] = []
    for line in text.splitlines():
        named = [card for name, card in CARDS.items() if f"`{name}`" in line]
        if named and ("FMR" in line or line.startswith("|")):
            known = shares("\n".join(named))
            known |= {(share[0],) for share in known if len(share) == 3}
            wrong += [share for share in shares(line) if not {share, left(share)} & known]
    return sorted(wrong)


@pytest.mark.parametrize("page", ["README.md", "docs/faq.md", "docs/cameras.md"])
def test_the_models_figures_are_their_cards(page: str) -> None:
    text = (ROOT / page).read_text()
    assert any(shares(line) for line in text.splitlines() if "`accurate`" in line)
    assert not_in_the_card(text) == []


def test_the_check_of_figures_finds_what_is_stale() -> None:
    """9.6 % is only the end of an interval in the card, and 93.2 % is a figure of `compact` only."""
    page = (
        "`accurate` misses 9.6 % at FMR 1e-3, no longer 6.3 % (3.2-11.1), of five templates 0.3-7.8 % instead of 0.0-4.0 %.\n"
        "| `accurate` | 93.2 % (88.0-96.6) | 93.7 % |\n| `compact` | 93.2 % (88.0-96.6) | 8.2 % |\nOf 7.7 % nobody speaks.\n"
    )
    assert not_in_the_card(page) == [("0.3", "7.8"), ("9.6",), ("93.2", "88.0", "96.6")]


def test_the_trials_in_the_questions_are_the_cards() -> None:
    ((missed, of),) = re.findall(r"the best of five templates (\d+) of (\d+)", (ROOT / "docs/faq.md").read_text())
    assert f"best of them: FNMR {missed} of {of} trials" in CARDS["accurate"]


@pytest.mark.parametrize("name", ["privacy", "faq", "threat-model", "dbus"])
def test_how_many_templates_are_kept_is_what_the_page_says(name: str) -> None:
    told = re.findall(r"(\d+) (?:at most|templates)", (ROOT / f"docs/{name}.md").read_text())
    assert str(MOST_TEMPLATES) in told
