"""The report that may be sent to others: the findings and the kind of machine. Must contain no personal data."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Sequence

from edge.doctor.finding import Finding
from edge.doctor.machine import Machine
from facelatch import release


def about(machine: Machine) -> dict[str, str]:
    """This software and the machine it runs on: versions and kinds, but no host names and no serial numbers."""
    system = re.search(r'^PRETTY_NAME="?([^"\n]*)', machine.text("etc/os-release") or "", re.MULTILINE)
    # A custom kernel may have a name after its number.
    kernel = re.match(r"\d+(\.\d+)*", machine.text("proc/sys/kernel/osrelease") or "")
    return {
        "facelatch": release(),
        "system": system[1] if system else "unknown",
        "kernel": kernel[0] if kernel else "unknown",
        "processor": platform.machine(),
        "board": machine.text("proc/device-tree/model") or "unknown",
        "python": platform.python_version(),
    }


def as_report(findings: Sequence[Finding], facts: dict[str, str], changed: dict[str, object], *, as_json: bool) -> str:
    """The report as text or JSON; `facts` are those of `about`, `changed` those of `software.differences`."""
    shared = [finding.shared() for finding in findings]
    if as_json:
        return json.dumps({"about": facts, "settings": changed, "checks": shared}, indent=1) + "\n"
    lines = [f"{key + ':':<11} {value}" for key, value in facts.items()]
    lines += (
        ["", "settings that are not the defaults:", *(f"  {key} = {value}" for key, value in changed.items())]
        if changed
        else []
    )
    lines.append("")
    for entry in shared:
        lines.append(f"{entry['verdict']}  {entry['check']:<15}  {entry['found']}")
        if entry["mend"]:
            lines.append(f"{'':<23}{entry['mend']}")
    return "\n".join(lines) + "\n"
