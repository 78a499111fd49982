"""The device's settings: every key, its type, range, unit and default, once. Reads TOML; writes nothing."""

from __future__ import annotations

import json
import os
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from edge.contract.errors import SettingsError
from edge.models import DEFAULT
from edge.quiet import Span

DEFAULT_PATH = Path("/etc/facelatch/edge.toml")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Replay(StrEnum):
    """How recorded frames are played."""

    FAST = "fast"
    REAL_TIME = "real-time"
    LOOP = "loop"


class CameraSettings(_Table):
    """Where frames come from."""

    source: Annotated[
        str,
        Field(
            description="V4L2 device (best by /dev/v4l/by-id/...), USB vendor:product, csi:0, http:// or rtsp:// address, "
            "video file or image folder"
        ),
    ] = "/dev/video0"
    width: Annotated[int, Field(ge=160, le=4096, description="pixels asked of a V4L2 device")] = 640
    height: Annotated[int, Field(ge=120, le=2160, description="pixels asked of a V4L2 device")] = 480
    fourcc: Annotated[
        str, Field(pattern=r"^[A-Z0-9 ]{4}$", description="format asked of a V4L2 device, such as MJPG or YUYV")
    ] = "MJPG"
    exposure: Annotated[int, Field(ge=0, le=1_000_000, description="in units of 100 us (V4L2) or 1 us (csi); 0: automatic")] = 0
    rotate: Annotated[Literal[0, 90, 180, 270], Field(description="degrees clockwise that frames are turned by")] = 0
    mirror: Annotated[bool, Field(description="left and right changed, after the turn")] = False
    replay: Annotated[
        Replay,
        Field(
            strict=False,
            description="of a file or folder: fast (as it can be judged), real-time, or loop (real-time, over and over)",
        ),
    ] = Replay.FAST
    max_age_s: Annotated[float, Field(gt=0, le=5, description="a frame older than this is never judged")] = 0.5
    stall_s: Annotated[float, Field(ge=1, le=60, description="without a frame for so long a camera is opened again")] = 12.0


class ModelSettings(_Table):
    """The verifier."""

    path: Annotated[
        str, Field(description="accurate or compact, which come along, or a file made by `python -m export tflite`")
    ] = DEFAULT
    threads: Annotated[int, Field(ge=1, le=16, description="threads of the interpreter")] = 1


class DetectorKind(StrEnum):
    """What searches a whole frame. The box that a chip is cut from is always that of the detector that the model names."""

    HAAR = "haar"
    LBP = "lbp"
    YUNET = "yunet"


class DetectionSettings(_Table):
    """The search for faces."""

    detector: Annotated[
        DetectorKind, Field(strict=False, description="what searches a whole frame: haar, or lbp or yunet with detector_file")
    ] = DetectorKind.HAAR
    detector_file: Annotated[str, Field(description="the file of lbp (a cascade, XML) or yunet (ONNX); none comes along")] = ""
    search_height_px: Annotated[int, Field(ge=120, le=2160, description="frames are shrunk to this height for the search")] = (
        240
    )
    min_face_px: Annotated[int, Field(ge=32, le=2000, description="smallest face, in pixels of the frame")] = 80
    budget_ms: Annotated[
        float, Field(gt=0, le=10000, description="a search that costs more is done in a frame shrunk further")
    ] = 40.0
    still_levels: Annotated[
        float, Field(ge=0, le=64, description="grey levels that some block must change by, or an empty frame is not searched")
    ] = 4.0

    @model_validator(mode="after")
    def _complete(self) -> DetectionSettings:
        if (self.detector is DetectorKind.HAAR) == bool(self.detector_file):
            needs = "needs no detector_file" if self.detector_file else "needs detector_file"
            raise ValueError(f"detector = {self.detector.value!r} {needs}")
        return self


class QualitySettings(_Table):
    """What a face must be like to be judged. Brightness and contrast are of the chip, grey levels 0 to 255."""

    max_face: Annotated[float, Field(gt=0.2, le=1, description="widest face, as a share of the frame's height")] = 0.85
    min_brightness: Annotated[float, Field(ge=0, le=255, description="mean of the chip")] = 45.0
    max_brightness: Annotated[float, Field(ge=0, le=255, description="mean of the chip")] = 220.0
    min_contrast: Annotated[float, Field(ge=0, le=128, description="standard deviation of the chip")] = 12.0
    min_sharpness: Annotated[float, Field(ge=0, le=10000, description="variance of the chip's Laplacian")] = 10.0
    max_turn: Annotated[
        float, Field(gt=0, le=1, description="nose beside the middle of the eyes, as a share of their distance; 1: any turn")
    ] = 0.28
    max_tilt_deg: Annotated[float, Field(gt=0, le=90, description="head tilted to a shoulder; 90: any tilt")] = 12.0


class PolicySettings(_Table):
    """When a match becomes a decision."""

    target_fmr: Annotated[float, Field(gt=0, lt=1, description="one of the model's measured operating points")] = 1e-3
    allow_failed_gate: Annotated[bool, Field(description="use a model that missed a gate of its export")] = False
    matches: Annotated[int, Field(ge=1, le=100, description="k: so many frames must match the same subject")] = 3
    frames: Annotated[int, Field(ge=1, le=100, description="n: out of so many judged frames")] = 10
    window_s: Annotated[float, Field(gt=0, le=60, description="frames older than this no longer count")] = 5.0
    rearm_s: Annotated[float, Field(ge=0, le=3600, description="rest after an accept")] = 5.0
    lockout_failures: Annotated[int, Field(ge=1, le=100, description="denials before the lock-out")] = 5
    lockout_s: Annotated[float, Field(ge=30, le=86400, description="rest after each further denial")] = 30.0
    disable_failures: Annotated[int, Field(ge=1, le=100, description="denials after which only `edge unlock-out` helps")] = 50

    quiet_hours: Annotated[
        tuple[str, ...], Field(strict=False, description='local times in which nobody is granted, such as ["22:00-06:00"]')
    ] = ()

    @field_validator("quiet_hours")
    @classmethod
    def _are_spans(cls, spans: tuple[str, ...]) -> tuple[str, ...]:
        for span in spans:
            Span.parse(span)
        return spans

    @model_validator(mode="after")
    def _consistent(self) -> PolicySettings:
        if self.matches > self.frames:
            raise ValueError(f"matches = {self.matches} of frames = {self.frames}: must not be more")
        if self.disable_failures <= self.lockout_failures:
            raise ValueError("disable_failures must be more than lockout_failures")
        return self

    def rest_after(self, failures: int) -> float:
        """For how many seconds nothing is judged after so many failures without an accept."""
        return self.lockout_s if failures >= self.lockout_failures else 0.0


class IntentKind(StrEnum):
    """What must come before a face is judged."""

    NONE = "none"
    BUTTON = "button"
    CALL = "call"


class IntentSettings(_Table):
    """What a person must do before a face is judged, so that walking past opens nothing."""

    kind: Annotated[
        IntentKind,
        Field(
            strict=False, description="none, button (on a pin) or call (`edge attempt`, or a verification asked for on the bus)"
        ),
    ] = IntentKind.NONE
    pin: Annotated[str, Field(description="gpiozero's name of the button's pin, such as GPIO27; it pulls to ground")] = ""
    window_s: Annotated[float, Field(gt=0, le=120, description="for so long after it faces are judged")] = 10.0

    @model_validator(mode="after")
    def _complete(self) -> IntentSettings:
        if self.kind is IntentKind.BUTTON and not self.pin:
            raise ValueError("kind = button needs pin")
        return self


class ChallengeKind(StrEnum):
    """What a person must do, beyond matching."""

    NONE = "none"
    HEAD_TURN = "head-turn"


class LivenessSettings(_Table):
    """A challenge between the match and the grant; what it is worth is in docs/liveness.md."""

    challenge: Annotated[
        ChallengeKind, Field(strict=False, description="none, or head-turn: a turn to a side that chance chooses")
    ] = ChallengeKind.NONE
    turns: Annotated[int, Field(ge=1, le=4, description="so many turns, each to a side of its own chance")] = 2
    turn: Annotated[
        float,
        Field(ge=0.08, le=0.25, description="how far: the nose beside the middle of the eyes, as a share of their distance"),
    ] = 0.12
    timeout_s: Annotated[float, Field(ge=2, le=60, description="seconds for the whole challenge")] = 10.0


class ActionKind(StrEnum):
    """What a grant sets off."""

    LOG = "log"
    COMMAND = "command"
    GPIO = "gpio"
    UNLOCK_SESSION = "unlock-session"


class ActionSettings(_Table):
    """What a grant sets off beyond its line in the journal."""

    kind: Annotated[ActionKind, Field(strict=False, description="log, command, gpio or unlock-session")] = ActionKind.LOG
    argv: Annotated[
        tuple[str, ...], Field(strict=False, description="the command, word by word; no shell; FACELATCH_SUBJECT says who")
    ] = ()
    timeout_s: Annotated[float, Field(gt=0, le=300, description="a command that takes longer is ended")] = 10.0
    pin: Annotated[str, Field(description="gpiozero's name of a pin, such as GPIO17")] = ""
    pulse_s: Annotated[float, Field(gt=0, le=60, description="how long the pin is active")] = 3.0
    active_high: Annotated[bool, Field(description="false for a relay that closes when its pin is low")] = True
    user: Annotated[str, Field(pattern=r"^([a-z_][a-z0-9_-]*)?$", description="whose sessions; empty: the subject's name")] = ""

    @model_validator(mode="after")
    def _complete(self) -> ActionSettings:
        if self.kind is ActionKind.COMMAND and not (self.argv and self.argv[0].startswith("/")):
            raise ValueError("kind = command needs argv, its first word an absolute path")
        if self.kind is ActionKind.GPIO and not self.pin:
            raise ValueError("kind = gpio needs pin")
        return self


class Mode(StrEnum):
    """When the daemon looks."""

    WATCH = "watch"
    ON_DEMAND = "on-demand"


class ServiceSettings(_Table):
    """The daemon among other programs."""

    mode: Annotated[
        Mode,
        Field(
            strict=False, description="watch (a door: always looking) or on-demand (a desk: the camera is closed until asked)"
        ),
    ] = Mode.WATCH
    bus: Annotated[bool, Field(description="answer as io.facelatch on the system bus, where there is one")] = True
    linger_s: Annotated[float, Field(ge=0, le=60, description="on-demand: the camera stays open so long for the next try")] = (
        2.0
    )
    idle_exit_s: Annotated[
        float,
        Field(ge=0, le=86400, description="on-demand: leave after so long without a caller, the bus starts it again; 0: stay"),
    ] = 0.0
    refuse_remote: Annotated[bool, Field(description="no verification for a session that came over the network (SSH)")] = True


class CompatSettings(_Table):
    """Other programs' ways to ask."""

    fprintd: Annotated[
        bool, Field(description="answer as net.reactivated.Fprint, too: pam_fprintd and the fprintd-* tools take a face")
    ] = False


class MetricsSettings(_Table):
    """Figures for Prometheus."""

    file: Annotated[
        str, Field(pattern=r"^(/.*\.prom)?$", description="a file for node_exporter's textfile collector; empty: none")
    ] = ""
    every_s: Annotated[float, Field(ge=1, le=3600, description="seconds between two writings of it")] = 15.0


class EnrolmentSettings(_Table):
    """How a subject is enrolled."""

    anchors: Annotated[int, Field(ge=3, le=50, description="templates kept a subject")] = 8
    timeout_s: Annotated[float, Field(ge=5, le=600, description="seconds of frames before it is given up")] = 60.0


class Encryption(StrEnum):
    """Where the key to the templates is."""

    NONE = "none"
    FILE = "file"
    CREDENTIAL = "credential"


class GallerySettings(_Table):
    """How templates lie on the disk."""

    encrypt: Annotated[
        Encryption,
        Field(
            strict=False,
            description="none, file or credential. Encryption protects from whoever takes the card or a copy of it, if the key is "
            "not on it; not from root, nor a running device. A Pi has no TPM: the key of systemd-creds is on the card, too",
        ),
    ] = Encryption.NONE
    key_file: Annotated[
        str,
        Field(
            pattern=r"^(/.*)?$", description="encrypt = file: the key, mode 0400, best not on this card; `edge gallery-key new`"
        ),
    ] = ""
    credential: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$", description="encrypt = credential: the name it has in the unit file"),
    ] = "gallery-key"

    @model_validator(mode="after")
    def _complete(self) -> GallerySettings:
        if self.encrypt is Encryption.FILE and not self.key_file:
            raise ValueError("encrypt = file needs key_file")
        return self


class Settings(_Table):
    """All settings of a device."""

    camera: CameraSettings = CameraSettings()
    model: ModelSettings = ModelSettings()
    detection: DetectionSettings = DetectionSettings()
    quality: QualitySettings = QualitySettings()
    policy: PolicySettings = PolicySettings()
    intent: IntentSettings = IntentSettings()
    liveness: LivenessSettings = LivenessSettings()
    action: ActionSettings = ActionSettings()
    enrolment: EnrolmentSettings = EnrolmentSettings()
    gallery: GallerySettings = GallerySettings()
    service: ServiceSettings = ServiceSettings()
    compat: CompatSettings = CompatSettings()
    metrics: MetricsSettings = MetricsSettings()


def load_settings(path: Path | None) -> Settings:
    """The settings of a TOML file; the defaults where `path` is None and the default file is not there.

    Raises:
        SettingsError: the file is missing, unreadable or no TOML, or a key is unknown, of the wrong type or out of range.
    """
    chosen = path or DEFAULT_PATH
    try:
        table = tomllib.loads(chosen.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if path is None:
            return Settings()
        raise SettingsError(f"{path}: no such file; leave --config out for the defaults") from None
    except OSError as error:
        raise SettingsError(f"{chosen}: cannot read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{chosen}: not valid TOML: {error}") from error
    try:
        return Settings.model_validate(table)
    except ValidationError as error:
        told = [f"{'.'.join(map(str, e['loc'])) or 'file'} = {_shown(e['input'])}: {e['msg']}" for e in error.errors()]
        raise SettingsError(f"{chosen}: {'; '.join(told)}. See `edge config show` for every key") from error


def as_toml(settings: Settings) -> str:
    """The settings in force as TOML with the meaning of each key."""
    lines = []
    for table_name in type(settings).model_fields:
        table = getattr(settings, table_name)
        lines.append(f"[{table_name}]")
        for key, field in type(table).model_fields.items():
            value = getattr(table, key)
            shown = json.dumps(value, ensure_ascii=False)
            lines.append(f"{key} = {shown}" + (f"  # {field.description}" if field.description else ""))
        lines.append("")
    return "\n".join(lines)


def state_folder() -> Path:
    """Where templates live: systemd's $STATE_DIRECTORY, /var/lib/facelatch as root, else the XDG state folder."""
    given = os.environ.get("STATE_DIRECTORY")
    if given:
        return Path(given.split(":")[0])
    # The service's user keeps its state where the service does, so that `sudo -u facelatch edge enroll` is seen by it.
    system = Path("/var/lib/facelatch")
    if os.geteuid() == 0 or os.access(system, os.W_OK):
        return system
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "facelatch"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
