"""Packs an enrolment's progress into the details of a signal and unpacks it; docs/dbus.md describes the keys. Makes no bus calls."""

from __future__ import annotations

from typing import Any

from edge.poses import Count, Pose
from edge.progress import AIM, ASPECT, Box, Progress
from edge.quality import Gate, Gauge


def pack(progress: Progress) -> dict[str, tuple[str, Any]]:
    """D-Bus signature and value by key, without `have`, `want`, `reason` and `text`, which every status carries anyway."""
    details: dict[str, tuple[str, Any]] = {
        "poses": ("a(suub)", [[count.pose.value, count.have, count.want, count.over] for count in progress.poses]),
        "gates": ("a(sddd)", [[gauge.gate.value, gauge.value, gauge.least, gauge.most] for gauge in progress.gauges]),
        "frame": ("(dd)", [progress.aspect, progress.aim]),
    }
    if progress.sentence:
        details["sentence"] = ("s", progress.sentence)
    if progress.face is not None:
        details["face"] = ("(dddd)", list(progress.face))
    return details


def unpack(details: dict[str, Any]) -> Progress:
    """The packed progress, with the details of every status. A missing key gets its default: a daemon from before an upgrade packs none."""
    aspect, aim = details.get("frame", (ASPECT, AIM))
    return Progress(
        details.get("have", 0),
        details.get("want", 0),
        details.get("sentence", ""),
        tuple(Count(Pose(pose), have, want, over) for pose, have, want, over in details.get("poses", ())),
        details.get("reason", ""),
        details.get("text", ""),
        tuple(Gauge(Gate(gate), value, least, most) for gate, value, least, most in details.get("gates", ())),
        Box(*details["face"]) if "face" in details else None,
        aspect,
        aim,
    )
