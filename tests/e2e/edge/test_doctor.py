"""`edge doctor` as a process: one line per check, an exit code, and a report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.conftest import MODEL, Device


def configured(device: Device, source: object) -> Path:
    model = device.home / "own.tflite"
    shutil.copyfile(MODEL, model)
    model.chmod(0o644)
    (device.home / "edge.toml").write_text(f'[camera]\nsource = "{source}"\n[model]\npath = "{model}"\n')
    return device.home / "edge.toml"


def test_a_camera_that_is_not_there_fails_and_is_mended(device: Device) -> None:
    config = configured(device, "/dev/video987")
    done = device.run("doctor", "--config", config, "--report", device.home / "r.json", "--json")
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    checks = {check["check"]: check for check in told["checks"]}
    assert checks["camera"]["verdict"] == "fail"
    assert "/dev/video987" in checks["camera"]["found"]
    assert "edge cameras" in checks["camera"]["mend"]
    assert checks["model"]["verdict"] == checks["opencv"]["verdict"] == checks["settings"]["verdict"] == "pass"
    assert sum(told["counts"].values()) == len(checks)
    report = json.loads((device.home / "r.json").read_text())
    assert [check["check"] for check in report["checks"]] == list(checks)
    assert report["settings"] == {"camera.source": "<text>", "model.path": "<text>"}
    assert str(device.home) not in (device.home / "r.json").read_text()


def test_the_lines_name_every_check_and_what_to_do(device: Device) -> None:
    done = device.run("doctor", "--config", configured(device, device.home))
    lines = done.stdout.splitlines()
    assert all(line.split()[0] in ("pass", "warn", "fail") for line in lines[:-1])
    assert lines[-1].endswith(" fail")
    assert done.returncode == (0 if lines[-1].endswith(" 0 fail") else 1)
    assert "edge enroll NAME" in done.stdout


def test_settings_that_are_refused_do_not_end_the_look(device: Device) -> None:
    config = configured(device, "/dev/video987")
    config.write_text("[policy]\nthreshold = 1\n")
    done = device.run("doctor", "--config", config, "--report", device.home / "r.txt", "--json")
    checks = {check["check"]: check["verdict"] for check in json.loads(done.stdout)["checks"]}
    assert (done.returncode, checks["settings"], checks["model"]) == (1, "fail", "pass")
    assert "settings that are not" not in (device.home / "r.txt").read_text()
    again = device.run("doctor", "--config", config, "--report", device.home / "r.txt")
    assert (again.returncode, "not there yet" in again.stderr) == (9, True)
