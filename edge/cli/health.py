"""The command that checks a device: doctor."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.shared import AsJson, Config, app, console
from edge.contract.errors import ExitCode, SettingsError

if TYPE_CHECKING:
    from edge.doctor import Finding

# By the values of edge.doctor.Verdict.
_COLOURS = {"pass": "green", "warn": "yellow", "fail": "bold red"}


@app.command(epilog="example: sudo edge doctor --report report.txt")
def doctor(
    report: Annotated[
        Path | None,
        typer.Option(
            help="Also write a report to send to someone, without anything about a person, to this file; as JSON if it ends in .json."
        ),
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Checks everything that a device needs, and says how to mend what is wrong. Changes nothing. Exit code 1: a check fails."""
    from edge.doctor import Machine, Verdict, examine
    from edge.doctor.report import about, as_report
    from edge.doctor.software import differences
    from edge.settings import load_settings, state_folder
    from edge.store import write_new

    machine, findings = Machine(), []
    for finding in examine(config, state_folder(), machine):
        findings.append(finding)
        if not as_json:
            _print_finding(finding)
    if report is not None:
        changed: dict[str, object] = {}
        with suppress(SettingsError):  # reported as a finding already
            changed = differences(load_settings(config))
        write_new(report, as_report(findings, about(machine), changed, as_json=report.suffix == ".json"))
    counts = {verdict.value: sum(finding.verdict is verdict for finding in findings) for verdict in Verdict}
    if as_json:
        print(json.dumps({"counts": counts, "checks": [finding.shown() for finding in findings]}))
    else:
        console.print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
        if report is not None:
            console.print(f"{report}: written; read it before you send it", markup=False)
    raise typer.Exit(ExitCode.FAILED if counts["fail"] else ExitCode.OK)


def _print_finding(finding: Finding) -> None:
    fields = finding.shown()
    console.print(f"{fields['verdict']:<5}", style=_COLOURS[finding.verdict.value], end="")
    console.print(
        f"{fields['check']:<16} {fields['found']}" + (f"  → {fields['mend']}" if fields["mend"] else ""),
        markup=False,
        highlight=False,
    )
