"""The camera in the settings, the rights to it, and who holds it, on machines made of files in a folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.camera import csi
from edge.camera.v4l2 import Node
from edge.contract.errors import PackageMissing
from edge.doctor import Machine, camera

Make = Callable[..., Machine]
BY_ID = "/dev/v4l/by-id/usb-046d_C270_SERIAL77-video-index0"
WEBCAM = Node("/dev/video0", "C270", "uvcvideo", BY_ID, "046d:0825", "")
META = Node("/dev/video1", "C270", "uvcvideo", "", "046d:0825", "gives metadata or takes pictures, no camera")
CODEC = Node("/dev/video10", "bcm2835-codec", "bcm2835-codec", "", "", "a codec, no camera")
CLOSED = Node("/dev/video2", "", "", "", "1234:5678", "permission denied; add the user to the group video")
ALL = [WEBCAM, META, CODEC, CLOSED]


@pytest.mark.parametrize(
    ("source", "verdict", "told"),
    [
        (BY_ID, "pass", "/dev/video0 (uvcvideo, 046d:0825) can be used"),
        ("046d:0825", "pass", "/dev/video0"),
        ("/dev/video0", "warn", "named by its number"),
        ("0", "warn", "named by its number"),
        ("/dev/video10", "fail", "a codec, no camera"),
        ("10", "fail", "a codec, no camera"),
        ("/dev/video2", "fail", "permission denied"),
        ("1234:5678", "fail", "permission denied"),
        ("/dev/video7", "fail", "4 video nodes, 1 of them cameras"),
        ("ffff:0001", "fail", "not there"),
        ("rtsp://door:secret@10.0.0.7/live", "pass", "a camera in the network"),
        ("csi", "pass", "csi:0, imx708"),
        ("csi:1", "fail", "libcamera knows of 1"),
        ("ftp://door:secret@10.0.0.7/live?password=secret", "fail", "no such camera"),
        ("/no/such/film.avi", "fail", "no such camera, video or folder"),
    ],
)
def test_a_source_of_every_kind(source: str, verdict: str, told: str, machine: Make) -> None:
    found = camera.source(source, ALL, ["imx708"], machine())
    assert (found.verdict, told in found.message) == (verdict, True), found.message
    assert "SERIAL77" not in str(found.shared())
    assert "secret" not in str(found.shown())


# The unit in systemctl's words, as shipped and with deploy/options/network-camera.conf.
ALONE = {"PrivateNetwork": "yes", "RestrictAddressFamilies": "AF_UNIX", "IPAddressAllow": "", "IPAddressDeny": "::/0 0.0.0.0/0"}
OPENED = {"PrivateNetwork": "no", "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6", "IPAddressAllow": "10.0.0.0/8"}


@pytest.mark.parametrize(
    ("changes", "verdict", "told"),
    [
        (ALONE, "warn", "the service has none (PrivateNetwork=yes, RestrictAddressFamilies=AF_UNIX, IPAddressDeny=any)"),
        (ALONE | OPENED, "pass", "the service has one: 10.0.0.0/8"),
        (ALONE | OPENED | {"PrivateNetwork": "yes"}, "warn", "has none (PrivateNetwork=yes)"),
        (ALONE | OPENED | {"RestrictAddressFamilies": "AF_UNIX"}, "warn", "has none (RestrictAddressFamilies=AF_UNIX)"),
        (ALONE | OPENED | {"IPAddressAllow": ""}, "warn", "has none (IPAddressDeny=any)"),
        (OPENED | {"RestrictAddressFamilies": "~AF_PACKET", "IPAddressAllow": ""}, "pass", "has one: every address"),
        (OPENED | {"RestrictAddressFamilies": "", "IPAddressAllow": ""}, "pass", "has one: every address"),
        (ALONE | {"LoadState": "not-found"}, "pass", "not installed"),
    ],
)
def test_a_camera_in_the_network_needs_a_service_that_has_one(
    machine: Make, changes: dict[str, str], verdict: str, told: str
) -> None:
    unit = "".join(f"{key}={value}\n" for key, value in ({"LoadState": "loaded"} | changes).items())
    pi = machine({"run/systemd/system/x": ""}, {"systemctl show facelatch.service": unit})
    found = camera.source("rtsp://door:secret@10.0.0.7/live", [], [], pi)
    assert (found.verdict, told in found.shown()["found"]) == (verdict, True), found.message
    assert "10.0" not in str(found.shared())


@pytest.mark.parametrize(
    ("why", "told", "mend"),
    [
        (
            ModuleNotFoundError("No module named 'picamera2'"),
            "csi:0: csi cameras need picamera2",
            "sudo apt install python3-picamera2",
        ),
        (ValueError("numpy.dtype size changed"), "csi:0: picamera2 cannot be loaded beside numpy", "pip install 'simplejpeg"),
    ],
)
def test_a_ribbon_camera_needs_its_library(
    machine: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: Exception, told: str, mend: str
) -> None:
    """The library may be there and yet not load: Debian 12's contains a module built for numpy 1."""
    (tmp_path / "picamera2.py").write_text(f"raise {why!r}")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PackageMissing) as missing:
        csi.cameras()
    found = camera.source("csi:0", [], missing.value, machine())
    assert (found.verdict, told in found.message, found.mend.startswith(mend)) == ("fail", True, True), found


def test_a_number_gives_way_to_the_name_that_udev_gave(machine: Make) -> None:
    nameless = Node(
        "/dev/video0", "C270", "uvcvideo", "", "046d:0825", "", ("/dev/facelatch/camera", "/dev/facelatch/port-1.3")
    )
    found = camera.source("/dev/video0", [nameless], [], machine())
    assert (found.verdict, 'camera.source = "/dev/facelatch/camera"' in found.shown()["mend"]) == ("warn", True)


def test_a_recording_is_told_as_one(tmp_path: Path, machine: Make) -> None:
    found = camera.source(str(tmp_path), [], [], machine())
    assert (found.verdict, str(tmp_path) in str(found.shared())) == ("warn", False)


def test_a_node_must_be_open_to_the_group_of_the_service(machine: Make) -> None:
    group = (f"video:x:{os.getgid()}:", f"video:x:{os.getgid() + 1}:")
    pi = machine({"dev/video0": "", "etc/group": f"root:x:0:\n{group[0]}\n"})
    (pi.root / "dev/video0").chmod(0o660)
    assert camera.rights(ALL, pi).verdict == "pass"
    (pi.root / "dev/video0").chmod(0o640)
    closed = camera.rights(ALL, pi)
    assert (closed.verdict, closed.message.startswith("/dev/video0: not open")) == ("fail", True)
    (pi.root / "dev/video0").chmod(0o666)
    assert camera.rights(ALL, machine({"etc/group": group[1]})).verdict == "pass"
    (pi.root / "dev/video0").chmod(0o660)
    assert camera.rights(ALL, pi).verdict == "fail"
    assert camera.rights(ALL, machine({"etc/group": ""})).message == "there is no group video"
    assert "none to open" in camera.rights([CODEC], machine({"etc/group": group[0]})).message


def process(root: Path, number: int, held: list[str], *, comm: str = "x", cgroup: str = "0::/user.slice\n") -> None:
    folder = root / "proc" / str(number)
    (folder / "fd").mkdir(parents=True)
    for handle, path in enumerate(held):
        (folder / "fd" / str(handle)).symlink_to(path)
    (folder / "comm").write_text(comm + "\n")
    (folder / "cgroup").write_text(cgroup)


def test_who_holds_a_camera_is_named_on_the_screen_alone(machine: Make) -> None:
    pi = machine()
    process(pi.root, 10, ["/dev/null", "/dev/videocard", "/tmp/dev/video0"])
    process(pi.root, 11, ["/dev/video0"], cgroup="0::/system.slice/facelatch.service\n")
    assert camera.holders(pi).message.startswith("the service holds")
    process(pi.root, 12, ["pipe:[1]", "/dev/video0"], comm="adas-film")
    process(pi.root, os.getpid(), ["/dev/video0"])
    found = camera.holders(pi)
    assert (found.verdict, "adas-film (12)" in found.shown()["found"]) == ("warn", True)
    assert "1 other program holds a camera: <programs>" in found.shared()["found"]


def test_nobody_holds_a_camera(machine: Make) -> None:
    assert camera.holders(machine({"proc/1/comm": ""})).message == "nobody holds a camera"


def test_what_cannot_be_seen_is_not_said_to_be_free(machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    pi = machine(is_root=False)
    process(pi.root, 10, [])

    def refuse(self: Path) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    found = camera.holders(pi)
    assert (found.verdict, found.mend) == ("warn", "sudo edge doctor")
