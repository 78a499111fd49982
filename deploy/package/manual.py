"""Generates edge(1) and edge.toml(5) from the commands and settings themselves, so that they cannot differ. Runs no command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import typer

from deploy.package.roff import Page, bold, italic, prose
from edge.cli import app
from edge.contract.errors import ExitCode
from edge.settings import DEFAULT_PATH, Settings

EXITS = {
    ExitCode.OK: "accepted, or done",
    ExitCode.DENIED: "denied; of `edge doctor`: a check fails",
    ExitCode.USAGE: "a command or option that does not exist",
    ExitCode.INPUT: "a file, folder or name that cannot be used",
    ExitCode.SETTINGS: "a setting that cannot be used",
    ExitCode.MODEL: "a model that cannot be used",
    ExitCode.GALLERY: "templates that cannot be used",
    ExitCode.CAMERA: "a camera that gives no frames",
    ExitCode.ENROLMENT: "not enough good frames, or a face that is enrolled under another name",
    ExitCode.STORAGE: "a disk that is full, read-only or unreadable",
    ExitCode.PACKAGE: "a package that the command needs is missing",
    ExitCode.REFUSED: "the running service will not do this for this user, or not from here",
    ExitCode.INTERNAL: "a defect of facelatch",
    ExitCode.INTERRUPTED: "interrupted",
}


def commands() -> Iterator[tuple[str, Any, Any]]:
    """Every visible command that is not a group, as (its words, Typer's command, Typer's context), in the order of `--help`."""
    yield from _subcommands("edge", typer.main.get_command(app), None)


def _subcommands(words: str, command: Any, parent: Any) -> Iterator[tuple[str, Any, Any]]:
    context = command.make_context(words.rpartition(" ")[2], [], parent=parent, resilient_parsing=True)
    if not hasattr(command, "list_commands"):
        yield words, command, context
        return
    for name in command.list_commands(context):
        subcommand = command.get_command(context, name)
        if not subcommand.hidden:
            yield from _subcommands(f"{words} {name}", subcommand, context)


def edge_1(version: str, dated: date) -> str:
    """The source of the manual page edge(1)."""
    page = Page("edge", 1, dated, f"facelatch {version}")
    page.section("name")
    page.paragraph("edge \\- face unlock on the device")
    page.section("synopsis")
    page.paragraph(f"{bold('edge')} {italic('COMMAND')} [{italic('OPTION')}...]")
    page.section("description")
    page.paragraph(
        prose(
            "Enrols people, verifies who stands before the camera, and runs the daemon that judges every frame. Pictures are never "
            "kept; what is kept are templates, which belong to the model that made them. The daemon is started by systemd, "
            "see facelatch.service(8). Its settings are in edge.toml(5)."
        )
    )
    page.section("commands")
    for words, command, context in commands():
        page.subsection(" ".join([words, *command.collect_usage_pieces(context)]))
        page.paragraph(prose(command.help or ""))
        for record in (parameter.get_help_record(context) for parameter in command.get_params(context)):
            if record is not None and record[0] != "--help":
                page.item(bold(record[0]), prose(record[1]))
        if command.epilog:
            page.example([command.epilog.removeprefix("example: ")])
    page.section("exit status")
    for code in ExitCode:
        page.item(bold(str(code.value)), prose(EXITS[code]))
    page.section("environment")
    page.item(bold("STATE_DIRECTORY"), prose("where templates and counted failures are kept; systemd sets it for the service"))
    page.item(bold("XDG_STATE_HOME"), prose("the same for a user who may not write to /var/lib/facelatch"))
    page.section("files")
    page.item(italic(str(DEFAULT_PATH)), prose("the settings, see edge.toml(5)"))
    page.item(
        italic("/var/lib/facelatch"), prose("templates and counted failures: personal data, readable by the service alone")
    )
    page.section("see also")
    page.paragraph(f"{bold('edge.toml')}(5), {bold('facelatch.service')}(8), {bold('journalctl')}(1)")
    return page.text()


def edge_toml_5(version: str, dated: date) -> str:
    """The source of the manual page edge.toml(5)."""
    schema = Settings.model_json_schema()
    page = Page("edge.toml", 5, dated, f"facelatch {version}")
    page.section("name")
    page.paragraph("edge.toml \\- settings of facelatch on the device")
    page.section("synopsis")
    page.paragraph(italic(str(DEFAULT_PATH)))
    page.section("description")
    page.paragraph(
        prose(
            "A file of TOML. Each table and each key may be left out; its default is then in force. A key "
            "that is unknown, of the wrong type or out of range is an error that names it: nothing starts with half of its settings. "
            "`edge config show` prints every setting in force. After a change: `systemctl restart facelatch`."
        )
    )
    page.section("settings")
    for name, field in schema["properties"].items():
        _table(page, schema, name, _resolved(schema, field))
    page.section("example")
    page.example(["[camera]", 'source = "/dev/v4l/by-id/usb-046d_0825-video-index0"', "", "[policy]", "target_fmr = 1e-3"])
    page.section("see also")
    page.paragraph(f"{bold('edge')}(1), {bold('facelatch.service')}(8)")
    return page.text()


def _table(page: Page, schema: dict[str, Any], name: str, table: dict[str, Any]) -> None:
    inner = []
    page.subsection(f"[{name}]")
    page.paragraph(prose(table.get("description", "")))
    for key, described in table["properties"].items():
        field = _resolved(schema, described)
        if "properties" in field:
            inner.append((f"{name}.{key}", field))
            continue
        default = json.dumps(field["default"], ensure_ascii=False) if "default" in field else "none: must be given"
        page.item(
            f"{bold(key)} = {italic(_kind(schema, field))}", prose(f"{field.get('description', '')} (default: {default})")
        )
    for subtable, field in inner:
        _table(page, schema, subtable, field)


def _resolved(schema: dict[str, Any], field: dict[str, Any]) -> dict[str, Any]:
    """The field with its "$ref" resolved; keys beside the reference take precedence."""
    if "$ref" not in field:
        return field
    resolved: dict[str, Any] = schema["$defs"][field["$ref"].rpartition("/")[2]] | field
    return resolved


def _kind(schema: dict[str, Any], field: dict[str, Any]) -> str:
    """A type and its range in words, such as `integer, 1 to 16`."""
    if "enum" in field:
        return " | ".join(json.dumps(value) for value in field["enum"])
    if "anyOf" in field:
        return " | ".join(_kind(schema, _resolved(schema, alternative)) for alternative in field["anyOf"])
    if field.get("type") == "array":
        return f"array of {_kind(schema, _resolved(schema, field.get('items', {})))}"
    limits = [
        f"{word} {_number(field[limit])}"
        for limit, word in (
            ("minimum", "from"),
            ("exclusiveMinimum", "above"),
            ("maximum", "to"),
            ("exclusiveMaximum", "below"),
        )
        if limit in field
    ]
    if "pattern" in field:
        limits.append(f"matching {field['pattern']}")
    return f"{field.get('type', 'any')}{', ' * bool(limits)}{' '.join(limits)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"
