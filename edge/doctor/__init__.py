"""`edge doctor`: checks everything that a device needs, one line each, and says how to fix what is wrong. Changes nothing.

A check is a small function of what it looks at. If a check itself breaks, its line says so. `examine` is the entry point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from edge.camera import csi
from edge.camera.v4l2 import nodes
from edge.contract.errors import PackageMissing
from edge.doctor import board, bus, camera, files, service, software, state, verifier
from edge.doctor.finding import Finding, Verdict, failed
from edge.doctor.machine import Machine
from edge.models import model_path
from edge.settings import DEFAULT_PATH, Mode, ServiceSettings, Settings

__all__ = ["Finding", "Machine", "Verdict", "examine"]


def examine(config: Path | None, folder: Path, machine: Machine) -> Iterator[Finding]:
    """Yields the result of every check, in the order in which problems are best fixed. `config` is as for `load_settings`, `folder` is the
    state folder."""
    finding, settings = _settings(config)
    yield finding
    yield from _run_check("runtime", software.runtime)
    yield from _run_check("opencv", software.opencv)
    model = None
    try:
        finding, model = verifier.model(model_path(settings.model.path), settings)
    except Exception as error:  # noqa: BLE001 - a check that breaks is a finding
        finding = _broken("model", error)
    yield finding
    # The service does not read a settings file given on the command line, so its rights do not matter.
    service_config = DEFAULT_PATH if config in (None, DEFAULT_PATH) else None
    yield from _run_check("files", lambda: files.files(settings, service_config, machine))
    yield from _run_check("camera", lambda: camera.source(settings.camera.source, nodes(), _csi_cameras(), machine))
    yield from _run_check("camera rights", lambda: camera.rights(nodes(), machine))
    yield from _run_check("camera users", lambda: camera.holders(machine))
    yield from _run_check("rights", lambda: state.rights(folder, machine))
    yield from _run_check("gallery", lambda: state.gallery(folder, model, machine, settings.gallery))
    yield from _run_check("lock-out", lambda: state.lockout(folder, settings.policy.disable_failures))
    yield from _run_check("disk", lambda: state.disk(folder, machine))
    yield from _run_check("unit", lambda: service.unit(machine, _ends_when_idle(settings.service)))
    yield from _run_check("sandbox", lambda: service.exposure(machine))
    yield from _run_check("bus", lambda: bus.bus(machine, settings.service.bus, settings.compat.fprintd))
    yield from _run_check("journal", lambda: software.journal(machine))
    yield from _run_check("journal storage", lambda: service.journal_storage(machine))
    yield from _run_check("clock", lambda: board.clock(machine))
    yield from _run_check("temperature", lambda: board.temperature(machine))
    yield from _run_check("power", lambda: board.power(machine))


def _settings(config: Path | None) -> tuple[Finding, Settings]:
    try:
        return software.settings(config, DEFAULT_PATH)
    except Exception as error:  # noqa: BLE001 - a check that breaks is a finding
        return _broken("settings", error), Settings()


def _ends_when_idle(settings: ServiceSettings) -> bool:
    """Whether the daemon ends by itself when idle, and a request on the bus starts it again."""
    return settings.bus and settings.mode is Mode.ON_DEMAND and settings.idle_exit_s > 0


def _run_check(name: str, check: Callable[[], Finding]) -> Iterator[Finding]:
    try:
        yield check()
    except Exception as error:  # noqa: BLE001 - a check that breaks is a finding
        yield _broken(name, error)


def _broken(name: str, error: Exception) -> Finding:
    message = f"the check itself broke: {type(error).__name__}: {{error}}"
    return failed(
        name, message, "a defect of facelatch, or a machine that it does not know: please report it", error=str(error)
    )


def _csi_cameras() -> list[str] | PackageMissing:
    try:
        return csi.cameras()
    except PackageMissing as error:
        return error
