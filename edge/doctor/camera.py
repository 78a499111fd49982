"""Checks of the camera: whether the one in the settings exists and may be opened, and who else holds one. Reads no picture."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from edge.camera.source import Kind, source_of
from edge.camera.stream import without_password
from edge.camera.v4l2 import Node
from edge.contract.errors import PackageMissing, SettingsError
from edge.doctor.finding import Finding, failed, passed, warned
from edge.doctor.machine import UNIT, Machine

_SEE = "`edge cameras` lists what there is"


def source(camera_source: str, nodes: Sequence[Node], ribbon: Sequence[str] | PackageMissing, machine: Machine) -> Finding:
    """The camera that the settings name. `ribbon` lists libcamera's cameras, or says why picamera2 is not available."""
    private = {"source": without_password(camera_source)}
    try:
        parsed = source_of(camera_source)
    except SettingsError as error:
        return failed("camera", "no such camera: {unclear}", f"set camera.source; {_SEE}", unclear=str(error))
    if parsed.kind is Kind.RECORDING:
        if not Path(camera_source).exists():
            return failed("camera", "{source}: no such camera, video or folder", f"set camera.source; {_SEE}", **private)
        return warned("camera", "{source} is a recording, no camera", f"set camera.source; {_SEE}", **private)
    if parsed.kind is Kind.ADDRESS:
        return _network(machine)
    if parsed.kind is Kind.RIBBON:
        return _ribbon(int(parsed.text.removeprefix("csi:")), ribbon)
    if parsed.kind is Kind.USB_ID:
        matching = [node for node in nodes if node.usb_id == parsed.text]
        node = next((node for node in matching if not node.problem), matching[0] if matching else None)
    else:
        node = next((node for node in nodes if parsed.text in (node.path, node.stable_path)), None)
        node = node or next((node for node in nodes if os.path.realpath(parsed.text) == node.path), None)
    if node is None:
        return failed(
            "camera", f"{{source}}: not there; {_count(nodes)}", f"plug it in, or set camera.source; {_SEE}", **private
        )
    about = f"{node.path} ({node.driver or 'driver unknown'}{f', {node.usb_id}' if node.usb_id else ''})"
    if node.problem:
        return failed("camera", f"{about}: {node.problem}", f"set camera.source to a camera; {_SEE}")
    stable = node.stable_path or next(iter(node.names), "")
    if stable and parsed.text == node.path:
        mend = 'camera.source = "{stable}", or a USB id: numbers change with the order of plugging'
        return warned("camera", f"{about} can be used, and is named by its number", mend, stable=stable)
    return passed("camera", f"{about} can be used")


def rights(nodes: Sequence[Node], machine: Machine) -> Finding:
    """Whether the service, whose only supplementary group is video, may open the cameras."""
    video = machine.group_id("video")
    if video is None:
        return failed("camera rights", "there is no group video", "sudo groupadd --system video, then sudo deploy/install.sh")
    usable = [node for node in nodes if not node.problem or node.problem.startswith("permission")]
    if not usable:
        return passed("camera rights", f"{_count(nodes)}: none to open")
    closed = []
    for node in usable:
        try:
            status = (machine.root / node.path.lstrip("/")).stat()
        except OSError:
            continue  # unplugged since it was listed
        by_group = status.st_gid == video and status.st_mode & 0o060 == 0o060
        if not by_group and status.st_mode & 0o006 != 0o006:
            closed.append(node.path)
    if closed:
        mend = 'give them to the group video, as Debian\'s own udev rules do: \'SUBSYSTEM=="video4linux", GROUP="video", MODE="0660"\''
        return failed("camera rights", f"{', '.join(closed)}: not open to the group video, which the service is in", mend)
    return passed("camera rights", f"{_count(nodes)}; all that are cameras are open to the group video")


def holders(machine: Machine) -> Finding:
    """The programs that hold a video node. Only one at a time can get pictures from a V4L2 camera."""
    ours, others, hidden = 0, set(), 0
    for process in (machine.root / "proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            open_paths = {os.readlink(handle) for handle in (process / "fd").iterdir()}
        except PermissionError:
            hidden += 1
            continue
        except OSError:
            continue  # the process has ended
        if not any(re.fullmatch(r"/dev/(video|media)\d+", path) for path in open_paths):
            continue
        name = process.relative_to(machine.root)
        if "/facelatch.service" in (machine.text(f"{name}/cgroup") or ""):
            ours += 1
        else:
            others.add(f"{machine.text(f'{name}/comm') or '?'} ({process.name})")
    if others:
        message = f"{len(others)} other {'programs hold' if len(others) > 1 else 'program holds'} a camera: {{programs}}"
        return warned("camera users", message, "end them where the camera is found busy", programs=", ".join(sorted(others)))
    if hidden and not machine.is_root:
        return warned("camera users", f"not known: {hidden} processes are other users'", "sudo edge doctor")
    return passed("camera users", "the service holds a camera, nobody else does" if ours else "nobody holds a camera")


def _network(machine: Machine) -> Finding:
    """Whether the service may reach a network camera. Does not contact the camera."""
    summary = "a camera in the network"
    unit = machine.unit(UNIT, "LoadState", "PrivateNetwork", "RestrictAddressFamilies", "IPAddressAllow", "IPAddressDeny")
    if unit is None or unit.get("LoadState") != "loaded":
        return passed("camera", f"{summary}; {UNIT} is not installed, so that nothing keeps it from that")
    families = unit.get("RestrictAddressFamilies", "")
    restrictions = {
        "PrivateNetwork=yes": unit.get("PrivateNetwork") == "yes",
        f"RestrictAddressFamilies={families}": families and not families.startswith("~") and "AF_INET" not in families,
        "IPAddressDeny=any": unit.get("IPAddressDeny") and not unit.get("IPAddressAllow"),
    }
    if closed := ", ".join(directive for directive, blocks in restrictions.items() if blocks):
        mend = "docs/cameras.md has the drop-in that lets the service reach one address"
        return warned("camera", f"{summary}, and the service has none ({closed})", mend)
    allowed = unit.get("IPAddressAllow") or "every address"
    return passed("camera", f"{summary}, and the service has one: {{addresses}}", addresses=allowed)


def _ribbon(number: int, ribbon: Sequence[str] | PackageMissing) -> Finding:
    if isinstance(ribbon, PackageMissing):
        problem, _, mend = str(ribbon).partition(": ")
        return failed("camera", f"csi:{number}: {problem}", mend)
    if number >= len(ribbon):
        mend = "is the cable in at both ends, the contacts the right way round? `rpicam-hello --list-cameras` asks libcamera itself"
        return failed("camera", f"csi:{number}: libcamera knows of {len(ribbon)} cameras", mend)
    return passed("camera", f"csi:{number}, {ribbon[number]}, can be used")


def _count(nodes: Sequence[Node]) -> str:
    usable = sum(not node.problem for node in nodes)
    return f"{len(nodes)} video nodes, {usable} of them cameras"
