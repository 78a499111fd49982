"""V4L2: lists the video nodes, says which are cameras, and reads frames from one through OpenCV."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.camera.frame import silence_opencv
from edge.camera.live import Live
from edge.clock import seconds_asleep
from edge.contract.errors import CameraBusy, CameraError
from edge.settings import CameraSettings

SYSFS, BY_ID = Path("/sys/class/video4linux"), Path("/dev/v4l/by-id")
# The names that udev gives by deploy/facelatch.rules.
OURS = Path("/dev/facelatch")

# linux/videodev2.h: VIDIOC_QUERYCAP, and struct v4l2_capability.
_QUERYCAP, _CAPABILITY = 0x80685600, struct.Struct("16s32s32sIII12x")
# VIDIOC_REQBUFS, and struct v4l2_requestbuffers: count, type VIDEO_CAPTURE, memory MMAP.
_REQBUFS, _NO_BUFFERS = 0xC0145608, struct.pack("IIIII", 0, 1, 1, 0, 0)
_CAPTURE, _CAPTURE_PLANES, _MEMORY_TO_MEMORY, _DEVICE_CAPS = 0x1, 0x1000, 0xC000, 0x80000000


# Drivers of a Pi's nodes that claim to capture, but are only stages of libcamera's pipeline.
_RAW = "gives a ribbon camera's raw data to libcamera, no pictures; use csi:0, with python3-picamera2"
_PROCESSOR = "is the Pi's image processor, no camera; one on the ribbon cable is csi:0, with python3-picamera2"
_NO_CAMERAS = {"unicam": _RAW, "rp1-cfe": _RAW, "bcm2835-isp": _PROCESSOR, "pispbe": _PROCESSOR}


@dataclass(frozen=True, slots=True)
class Node:
    """A video node. `problem` says why it is no usable camera, and is empty if it is one.

    `stable_path` is its name in /dev/v4l/by-id, `names` are its names in /dev/facelatch.
    """

    path: str
    card: str
    driver: str
    stable_path: str
    usb_id: str
    problem: str
    names: tuple[str, ...] = ()


def nodes() -> list[Node]:
    """Every video node of this machine, in the order of their numbers."""
    found = sorted(SYSFS.glob("video*"), key=lambda path: int(path.name.removeprefix("video") or 0))
    return [_node(path) for path in found]


def node_of_usb_id(usb_id: str) -> str:
    """The path of the first node of the USB device `vendor:product` that gives pictures.

    Raises:
        CameraError: there is none.
    """
    matching = [node for node in nodes() if node.usb_id == usb_id]
    usable = [node.path for node in matching if not node.problem]
    if not usable:
        known = ", ".join(sorted({node.usb_id for node in nodes() if node.usb_id})) or "none"
        details = f"; {matching[0].path}: {matching[0].problem}" if matching else f"; plugged in: {known}"
        raise CameraError(f"{usb_id}: no such camera{details}")
    return usable[0]


class Capture:
    """An OpenCV capture of a V4L2 node, as `live.Driver`."""

    def __init__(self, source: str, settings: CameraSettings) -> None:
        silence_opencv()
        # Links are followed. Checked before opening, because a node that is no camera may open and then give nothing.
        sysfs = SYSFS / Path(os.path.realpath(source)).name
        if sysfs.exists() and (problem := _node(sysfs).problem):
            raise CameraError(f"{source}: {problem}")
        self._capture = cv2.VideoCapture(source, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            self._capture.release()
            if _in_use(source):
                raise CameraBusy(f"{source}: in use by another program; `fuser -v {source}` names it")
            raise CameraError(f"{source}: cannot open; is it a camera?")
        # Without a FOURCC some drivers hand out formats that OpenCV returns as one flat row.
        self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*settings.fourcc))
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, settings.width)
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, settings.height)
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if settings.exposure:
            self._capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, 1)  # V4L2_EXPOSURE_MANUAL
            self._capture.set(cv2.CAP_PROP_EXPOSURE, settings.exposure)
        self._asleep = seconds_asleep()

    def grab(self) -> NDArray[np.uint8] | None:
        """See `live.Driver`."""
        good, pixels = self._capture.read()
        return pixels if good else None  # type: ignore[return-value] # what is no picture is found out by the reader

    def stamp(self) -> float | None:
        """See `live.Driver`. Drivers stamp with CLOCK_MONOTONIC (V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC), and OpenCV passes that on."""
        stamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        # The time asleep as of the last read: if the machine slept since, the picture may be from before that.
        asleep, self._asleep = self._asleep, seconds_asleep()
        return stamp + asleep if stamp > 0 else None

    def release(self) -> None:
        """See `live.Driver`."""
        self._capture.release()


def open_device(source: str, settings: CameraSettings) -> Live:
    """Opens a V4L2 node as a camera. Raises CameraError if it cannot be opened."""
    return Live(source, Capture(source, settings), settings)


def _in_use(path: str) -> bool:
    """Whether another program streams from a node. A request for zero buffers is refused then, and has no effect otherwise."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        return error.errno == errno.EBUSY
    try:
        fcntl.ioctl(handle, _REQBUFS, _NO_BUFFERS)
    except OSError as error:
        return error.errno == errno.EBUSY
    finally:
        os.close(handle)
    return False


def _node(sysfs: Path) -> Node:
    path = f"/dev/{sysfs.name}"
    stable = next(iter(_links(BY_ID, path)), "")
    card, driver, capabilities = "", "", 0
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except PermissionError:
        problem = "permission denied; add the user to the group video"
    except OSError as error:
        problem = f"cannot open: {error.strerror}"
    else:
        try:
            answer = fcntl.ioctl(handle, _QUERYCAP, bytes(_CAPABILITY.size))
            drivers, cards, _, _, all_capabilities, node_capabilities = _CAPABILITY.unpack(answer)
            driver, card = (text.split(b"\0")[0].decode(errors="replace") for text in (drivers, cards))
            capabilities = node_capabilities if all_capabilities & _DEVICE_CAPS else all_capabilities
            problem = _problem(capabilities, driver)
        except OSError as error:
            problem = f"does not answer: {error.strerror}"
        finally:
            os.close(handle)
    return Node(path, card, driver, stable, _usb_id(sysfs), problem, tuple(_links(OURS, path)))


def _links(folder: Path, path: str) -> list[str]:
    return [str(link) for link in sorted(folder.glob("*")) if link.resolve() == Path(path)]


def _problem(capabilities: int, driver: str) -> str:
    if driver in _NO_CAMERAS:
        return _NO_CAMERAS[driver]
    if capabilities & _MEMORY_TO_MEMORY:
        return "a codec, no camera"
    if not capabilities & (_CAPTURE | _CAPTURE_PLANES):
        return "gives metadata or takes pictures, no camera"
    return ""


def _usb_id(sysfs: Path) -> str:
    device = (sysfs / "device").resolve()
    for folder in (device, *device.parents):
        try:
            if (folder / "idVendor").is_file():
                return f"{(folder / 'idVendor').read_text().strip()}:{(folder / 'idProduct').read_text().strip()}"
        except OSError:
            break  # the device is being unplugged
    return ""
