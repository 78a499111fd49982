"""The one module that knows picamera2: the cameras on a Raspberry Pi's ribbon cable, which V4L2 does not give."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.camera.live import Live
from edge.contract.errors import CameraBusy, CameraError, PackageMissing
from edge.settings import CameraSettings


class Capture:
    """A libcamera camera, as `live.Driver`."""

    def __init__(self, number: int, settings: CameraSettings) -> None:
        library = _library()
        if not 0 <= number < len(found := library.Picamera2.global_camera_info()):
            raise CameraError(
                f"csi:{number}: no such camera; libcamera knows of {len(found)}: is the cable in, the overlay loaded?"
            )
        # Made and opened in two steps, so that what could not be opened can be given back.
        self._camera = library.Picamera2.__new__(library.Picamera2)
        self._metadata: dict[str, Any] = {}
        try:
            self._camera.__init__(number)
            # libcamera's RGB888 has blue first in memory, as OpenCV has it.
            main = {"size": (settings.width, settings.height), "format": "RGB888"}
            controls = {"AeEnable": False, "ExposureTime": settings.exposure} if settings.exposure else {}
            self._camera.configure(self._camera.create_video_configuration(main=main, controls=controls, buffer_count=2))
            self._camera.start()
        except (RuntimeError, OSError, IndexError) as error:
            self._let_go()
            # libcamera has no code for it but the kernel's words, and picamera2 tells them as the cause of its own.
            words = str(error.__context__ or error)
            kind = CameraBusy if "busy" in words.lower() else CameraError
            raise kind(f"csi:{number}: cannot open: {words}; is it in use by another program?") from error

    def grab(self) -> NDArray[np.uint8] | None:
        """See `live.Driver`."""
        try:
            request = self._camera.capture_request()
            try:
                pixels: NDArray[np.uint8] = request.make_array("main")
                self._metadata = request.get_metadata()
            finally:
                request.release()
        except (RuntimeError, OSError):
            return None
        return pixels

    def stamp(self) -> float | None:
        """See `live.Driver`. In nanoseconds of CLOCK_BOOTTIME, says libcamera; where it is the kernel's CLOCK_MONOTONIC that it gives on,
        a machine that has slept once makes its frames too old, and the stamps are not taken."""
        nanoseconds = self._metadata.get("SensorTimestamp")
        return nanoseconds / 1e9 if nanoseconds else None

    def release(self) -> None:
        """See `live.Driver`."""
        self._camera.stop()
        self._camera.close()

    def _let_go(self) -> None:
        """Gives back what a camera holds that could not be opened: one that was acquired is in use for the next try of this process, too,
        and of another picamera2 forgets its pipe, a descriptor with each try."""
        with suppress(AttributeError, KeyError, OSError, RuntimeError):
            if self._camera.is_open:
                self._camera.close()
            else:
                os.close(self._camera.notifyme_w)


def open_csi(number: int, settings: CameraSettings) -> Live:
    """A camera on the ribbon cable. Raises CameraError where it cannot be opened, PackageMissing without picamera2."""
    return Live(f"csi:{number}", Capture(number, settings), settings)


def cameras() -> list[str]:
    """The models of the cameras that libcamera knows, in the order of their numbers. Raises PackageMissing."""
    return [str(info.get("Model", "?")) for info in _library().Picamera2.global_camera_info()]


def _library() -> Any:
    try:
        import picamera2
    except ImportError as error:
        raise PackageMissing(
            "csi cameras need picamera2: sudo apt install python3-picamera2, then sudo deploy/install.sh: the environment takes "
            "Debian's packages"
        ) from error
    except ValueError as error:
        # What Cython's modules say. Debian 12's picamera2 comes with one that was built for numpy 1, simplejpeg.
        raise PackageMissing(
            f"picamera2 cannot be loaded beside numpy {np.__version__} ({error}): pip install 'simplejpeg>=1.8.2' into the environment "
            "of facelatch, or use Debian 13"
        ) from error
    return picamera2
