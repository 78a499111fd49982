"""The one module that knows picamera2: the cameras on a Raspberry Pi's ribbon cable, which V4L2 does not give."""

from __future__ import annotations

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
        try:
            self._camera = library.Picamera2(number)
            # libcamera's RGB888 has blue first in memory, as OpenCV has it.
            main = {"size": (settings.width, settings.height), "format": "RGB888"}
            controls = {"AeEnable": False, "ExposureTime": settings.exposure} if settings.exposure else {}
            self._camera.configure(self._camera.create_video_configuration(main=main, controls=controls, buffer_count=2))
            self._camera.start()
            self._metadata: dict[str, Any] = {}
        except (RuntimeError, OSError, IndexError) as error:
            # libcamera has no code for it but the kernel's words.
            kind = CameraBusy if "busy" in str(error).lower() else CameraError
            raise kind(f"csi:{number}: cannot open: {error}; is it in use by another program?") from error

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
            "csi cameras need picamera2: apt install python3-picamera2, in an environment with the system's packages"
        ) from error
    return picamera2
