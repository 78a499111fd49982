"""The only module that imports picamera2: cameras on a Raspberry Pi's ribbon cable, which V4L2 cannot read."""

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
        library = _import_picamera2()
        if not 0 <= number < len(known := library.Picamera2.global_camera_info()):
            raise CameraError(
                f"csi:{number}: no such camera; libcamera knows of {len(known)}: is the cable in, the overlay loaded?"
            )
        # __new__ and __init__ are called separately, so that a camera that fails to open can be released.
        self._camera = library.Picamera2.__new__(library.Picamera2)
        self._metadata: dict[str, Any] = {}
        try:
            self._camera.__init__(number)
            # libcamera's RGB888 has blue first in memory, as OpenCV expects.
            main = {"size": (settings.width, settings.height), "format": "RGB888"}
            controls = {"AeEnable": False, "ExposureTime": settings.exposure} if settings.exposure else {}
            self._camera.configure(self._camera.create_video_configuration(main=main, controls=controls, buffer_count=2))
            self._camera.start()
        except (RuntimeError, OSError, IndexError) as error:
            self._release_failed()
            # libcamera has no error code for "busy", only the kernel's text, which picamera2 keeps as the context of its own error.
            message = str(error.__context__ or error)
            error_type = CameraBusy if "busy" in message.lower() else CameraError
            raise error_type(f"csi:{number}: cannot open: {message}; is it in use by another program?") from error

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
        """See `live.Driver`. libcamera documents nanoseconds of CLOCK_BOOTTIME. Where it passes on the kernel's CLOCK_MONOTONIC instead,
        frames look too old once the machine has slept, and `Stamps` ignores the stamps."""
        nanoseconds = self._metadata.get("SensorTimestamp")
        return nanoseconds / 1e9 if nanoseconds else None

    def release(self) -> None:
        """See `live.Driver`."""
        self._camera.stop()
        self._camera.close()

    def _release_failed(self) -> None:
        """Releases what a camera that failed to open still holds. If it was acquired, it would be busy for this process's next try; if
        not, picamera2 forgets its pipe, and each try leaks a descriptor."""
        with suppress(AttributeError, KeyError, OSError, RuntimeError):
            if self._camera.is_open:
                self._camera.close()
            else:
                os.close(self._camera.notifyme_w)


def open_csi(number: int, settings: CameraSettings) -> Live:
    """Opens a camera on the ribbon cable. Raises CameraError if it cannot be opened, PackageMissing without picamera2."""
    return Live(f"csi:{number}", Capture(number, settings), settings)


def cameras() -> list[str]:
    """The models of the cameras that libcamera knows, in the order of their numbers. Raises PackageMissing without picamera2."""
    return [str(info.get("Model", "?")) for info in _import_picamera2().Picamera2.global_camera_info()]


def _import_picamera2() -> Any:
    try:
        import picamera2
    except ImportError as error:
        raise PackageMissing(
            "csi cameras need picamera2: sudo apt install python3-picamera2, then sudo deploy/install.sh: the environment takes "
            "Debian's packages"
        ) from error
    except ValueError as error:
        # Raised by Cython modules built for another numpy: Debian 12's picamera2 brings simplejpeg, built for numpy 1.
        raise PackageMissing(
            f"picamera2 cannot be loaded beside numpy {np.__version__} ({error}): pip install 'simplejpeg>=1.8.2' into the environment "
            "of facelatch, or use Debian 13"
        ) from error
    return picamera2
