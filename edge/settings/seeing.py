"""Settings from the camera to a face that is fit to be judged: camera, model, detection, quality. Opens nothing."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.models import DEFAULT
from edge.settings.table import NO_NUL, Table


class Replay(StrEnum):
    """How recorded frames are played."""

    FAST = "fast"
    REAL_TIME = "real-time"
    LOOP = "loop"


class CameraSettings(Table):
    """Where frames come from."""

    source: Annotated[
        str,
        Field(
            min_length=1,
            description="V4L2 device (best by /dev/v4l/by-id/...), USB vendor:product, csi:0, http:// or rtsp:// address, "
            "video file or image folder",
        ),
    ] = "/dev/video0"
    width: Annotated[int, Field(ge=160, le=4096, description="pixels asked of a V4L2 device")] = 640
    height: Annotated[int, Field(ge=120, le=2160, description="pixels asked of a V4L2 device")] = 480
    fourcc: Annotated[
        str, Field(pattern=r"^[A-Z0-9 ]{4}$", description="format asked of a V4L2 device, such as MJPG or YUYV")
    ] = "MJPG"
    exposure: Annotated[int, Field(ge=0, le=1_000_000, description="in units of 100 us (V4L2) or 1 us (csi); 0: automatic")] = 0
    rotate: Annotated[Literal[0, 90, 180, 270], Field(description="degrees clockwise that frames are turned by")] = 0
    mirror: Annotated[bool, Field(description="swap left and right, after the rotation")] = False
    replay: Annotated[
        Replay,
        Field(
            strict=False,
            description="how a file or folder is played: fast (as fast as it can be judged), real-time, or loop (real-time, over and over)",
        ),
    ] = Replay.FAST
    max_age_s: Annotated[float, Field(gt=0, le=5, description="a frame older than this is never judged")] = 0.5
    stall_s: Annotated[float, Field(ge=1, le=20, description="a camera without a frame for so long is opened again")] = 12.0
    frozen_s: Annotated[
        float, Field(ge=2, le=86400, description="a camera with one and the same picture for so long is opened again")
    ] = 30.0


class ModelSettings(Table):
    """The verifier."""

    path: Annotated[
        str, Field(description="accurate or compact, which are included, or a file made by `python -m export tflite`"), NO_NUL
    ] = DEFAULT
    threads: Annotated[int, Field(ge=1, le=16, description="threads of the interpreter")] = 1


class DetectorKind(StrEnum):
    """What searches a whole frame. The box that a chip is cut from is always that of the detector that the model names."""

    HAAR = "haar"
    LBP = "lbp"
    YUNET = "yunet"


class DetectionSettings(Table):
    """The search for faces."""

    detector: Annotated[
        DetectorKind, Field(strict=False, description="what searches a whole frame: haar, or lbp or yunet with detector_file")
    ] = DetectorKind.HAAR
    detector_file: Annotated[
        str, Field(description="the file for lbp (a cascade, XML) or yunet (ONNX); none is included"), NO_NUL
    ] = ""
    search_height_px: Annotated[int, Field(ge=120, le=2160, description="frames are shrunk to this height for the search")] = (
        240
    )
    min_face_px: Annotated[int, Field(ge=32, le=2000, description="smallest face, in pixels of the frame")] = 80
    budget_ms: Annotated[
        float, Field(gt=0, le=10000, description="if a search takes longer, frames are shrunk further for it")
    ] = 40.0
    still_levels: Annotated[
        float,
        Field(
            ge=0,
            le=64,
            description="an empty frame is searched if a block of it changed by this many grey levels, or after two seconds",
        ),
    ] = 4.0

    @model_validator(mode="after")
    def _complete(self) -> DetectionSettings:
        if (self.detector is DetectorKind.HAAR) == bool(self.detector_file):
            needs = "needs no detector_file" if self.detector_file else "needs detector_file"
            raise ValueError(f"detector = {self.detector.value!r} {needs}")
        return self


class QualitySettings(Table):
    """What a face must be like to be judged. Brightness and contrast are those of the chip, in grey levels from 0 to 255."""

    max_face: Annotated[float, Field(gt=0.2, le=1, description="widest face, as a share of the frame's height")] = 0.85
    min_brightness: Annotated[float, Field(ge=0, le=255, description="lowest mean of the chip")] = 45.0
    max_brightness: Annotated[float, Field(ge=0, le=255, description="highest mean of the chip")] = 220.0
    min_contrast: Annotated[float, Field(ge=0, le=128, description="lowest standard deviation of the chip")] = 12.0
    min_sharpness: Annotated[float, Field(ge=0, le=10000, description="lowest variance of the chip's Laplacian")] = 10.0
    max_turn: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="how far the nose may lie beside the middle of the eyes, as a share of their distance; 1: any turn",
        ),
    ] = 0.28
    max_tilt_deg: Annotated[
        float, Field(gt=0, le=90, description="how far the head may be tilted to a shoulder; 90: any tilt")
    ] = 12.0

    @model_validator(mode="after")
    def _consistent(self) -> QualitySettings:
        if self.min_brightness >= self.max_brightness:
            raise ValueError(
                f"min_brightness = {self.min_brightness:g}: must be below max_brightness = {self.max_brightness:g}"
            )
        return self
