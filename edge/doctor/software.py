"""Checks of settings, TFLite runtime, OpenCV and access to the journal, one function for each line. Changes nothing."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from edge.contract.detector import HaarDetector
from edge.contract.errors import PackageMissing, SettingsError, StorageError
from edge.contract.runtime import runtime_name
from edge.doctor.finding import Finding, failed, passed, warned
from edge.doctor.machine import Machine
from edge.settings import Settings, load_settings


def settings(config: Path | None, default: Path) -> tuple[Finding, Settings]:
    """Whether the settings file is valid, and writable by its owner only. If it is invalid, the defaults are returned."""
    path = config or default
    try:
        loaded = load_settings(config)
    except SettingsError as error:
        message = "refused: {error}; the checks below are made with the defaults"
        return failed(
            "settings", message, "correct that key; `edge config show` has every key with its range", error=str(error)
        ), Settings()
    if not path.exists():
        return passed("settings", "no file: the defaults are in force"), loaded
    mode = path.stat().st_mode & 0o777
    if mode & 0o022:
        message = (
            f"{{file}} is valid, and its rights are {mode:04o}: others may write it, and so choose whom and what a grant opens"
        )
        return failed("settings", message, "sudo chmod go-w {file}", file=str(path)), loaded
    changed = sum(1 for _ in differences(loaded))
    return passed("settings", f"{{file}} is valid, {changed} settings differ from the defaults", file=str(path)), loaded


def differences(loaded: Settings) -> dict[str, object]:
    """The settings that differ from the defaults, by key. Strings and lists appear as <text>, because a path or address is private."""
    defaults = Settings().model_dump()
    changed: dict[str, object] = {}
    for table, keys in loaded.model_dump().items():
        for key, value in keys.items():
            if value != defaults[table][key]:
                changed[f"{table}.{key}"] = value if isinstance(value, bool | int | float) else "<text>"
    return changed


def runtime(name: Callable[[], str] = runtime_name) -> Finding:
    """The TFLite runtime in use."""
    try:
        runtime_version = name()
    except PackageMissing as error:
        return failed("runtime", "no TFLite runtime is installed", str(error).partition(": ")[2])
    return passed("runtime", f"{runtime_version}, numpy {np.__version__}, Python {platform.python_version()}")


def opencv() -> Finding:
    """OpenCV with its cascade classifier, and the digest of the vendored cascade."""
    mend = "pip install 'opencv-python-headless>=4.11,<5', or sudo deploy/install.sh again"
    try:
        HaarDetector()
    except PackageMissing:
        return failed("opencv", f"OpenCV {cv2.__version__} has no CascadeClassifier", mend)
    except StorageError as error:
        return failed("opencv", f"OpenCV {cv2.__version__}: {{error}}", mend, error=str(error))
    return passed("opencv", f"OpenCV {cv2.__version__}, cascade {HaarDetector.name} with the digest it came with")


def journal(machine: Machine, installed: Callable[[str], object] = find_spec) -> Finding:
    """Whether events can reach the journal with their fields, and READY can be sent to the service manager."""
    if installed("systemd") is None:
        mend = "sudo apt install python3-systemd, or pip install 'facelatch[journal]'"
        if not machine.has_systemd():
            return warned("journal", "systemd-python is not installed: events go to stderr, without fields", mend)
        return failed("journal", "systemd-python is not installed: the service cannot start, and no event has its fields", mend)
    if not (machine.root / "run/systemd/journal/socket").exists():
        return warned("journal", "no journal on this machine: events go to stderr", "run it on a machine with systemd-journald")
    return passed("journal", "systemd-python is installed and the journal takes events")
