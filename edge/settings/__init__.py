"""The device's settings: each key's type, range, unit and default, defined once. Reads TOML; writes nothing."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path

from pydantic import ValidationError

from edge.contract.errors import SettingsError, StorageError
from edge.settings.deciding import (
    ActionKind,
    ActionSettings,
    ChallengeKind,
    IntentKind,
    IntentSettings,
    LivenessSettings,
    OwnIntent,
    PolicySettings,
)
from edge.settings.seeing import CameraSettings, DetectionSettings, DetectorKind, ModelSettings, QualitySettings, Replay
from edge.settings.serving import (
    CompatSettings,
    Encryption,
    EnrolmentSettings,
    GallerySettings,
    MetricsSettings,
    Mode,
    ServiceSettings,
)
from edge.settings.table import Table

__all__ = [
    "DEFAULT_PATH", "ActionKind", "ActionSettings", "CameraSettings", "ChallengeKind", "CompatSettings",
    "DetectionSettings", "DetectorKind", "Encryption", "EnrolmentSettings", "GallerySettings", "IntentKind",
    "IntentSettings", "LivenessSettings", "MetricsSettings", "Mode", "ModelSettings", "OwnIntent", "PolicySettings",
    "QualitySettings", "Replay", "ServiceSettings", "Settings", "as_toml", "load_settings", "service_folder", "state_folder",
]  # fmt: skip

DEFAULT_PATH = Path("/etc/facelatch/edge.toml")
SERVICE_STATE = Path("/var/lib/facelatch")


class Settings(Table):
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
    """Reads the settings from a TOML file; the defaults if `path` is None and DEFAULT_PATH does not exist.

    Raises:
        SettingsError: the file is missing, unreadable or not TOML, or a key is unknown, of the wrong type or out of range.
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
    except (ValueError, RecursionError) as error:  # ValueError: also a number with more digits than Python reads
        raise SettingsError(f"{chosen}: not valid TOML: {error}") from error
    try:
        return Settings.model_validate(table)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'file'} = {_redacted(e['input'])}: {e['msg']}" for e in error.errors()]
        raise SettingsError(f"{chosen}: {'; '.join(problems)}. See `edge config show` for every key") from error


def as_toml(settings: Settings) -> str:
    """The settings as TOML, with each key's description as a comment."""
    lines = []
    for table_name in type(settings).model_fields:
        table = getattr(settings, table_name)
        lines.append(f"[{table_name}]")
        for key, field in type(table).model_fields.items():
            value = getattr(table, key)
            text = _inline(value) if isinstance(value, dict) else json.dumps(value, ensure_ascii=False)
            lines.append(f"{key} = {text}" + (f"  # {field.description}" if field.description else ""))
        lines.append("")
    return "\n".join(lines)


def state_folder() -> Path:
    """Where templates live: systemd's $STATE_DIRECTORY, /var/lib/facelatch as root, else the XDG state folder."""
    systemd_folder = os.environ.get("STATE_DIRECTORY")
    if systemd_folder:
        return Path(systemd_folder.split(":")[0])
    # Commands run as the service's user use the service's folder, so that it sees `sudo -u facelatch edge enroll`.
    if os.geteuid() == 0 or os.access(SERVICE_STATE, os.W_OK):
        return SERVICE_STATE
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "facelatch"


def service_folder() -> Path:
    """`state_folder`, for commands that only make sense in the folder of the service on this machine.

    Raises:
        StorageError: the service has a folder, and this user may not write to it. The user's own would be changed, without any effect.
    """
    folder = state_folder()
    if folder != SERVICE_STATE and not os.environ.get("STATE_DIRECTORY") and SERVICE_STATE.is_dir():
        raise StorageError(
            f"{SERVICE_STATE}: belongs to the service, and this user may not change it; use sudo, or set STATE_DIRECTORY={folder} "
            "for this user's own folder"
        )
    return folder


def _inline(table: dict[str, float]) -> str:
    pairs = ", ".join(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in table.items())
    return f"{{ {pairs} }}" if pairs else "{}"


def _redacted(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # a hexadecimal number with more digits than Python prints
        return "..."
    # The value of a misspelt or misplaced key may be an address with its password, or the digits of an encryption key.
    text = re.sub(r"://[^'\"]*|[0-9a-fA-F]{32,}", "...", text)
    return text if len(text) <= 60 else text[:57] + "..."
