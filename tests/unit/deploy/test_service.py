"""The unit is hardened as it claims, and the installer says what it would do before it does it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[3] / "deploy"
UNIT = DEPLOY / "facelatch.service"


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)


@pytest.fixture
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze is not installed")
    return found


def test_the_exposure_is_at_most_one_and_a_half(analyze: str) -> None:
    done = run(analyze, "security", "--offline=true", "--threshold=15", UNIT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Overall exposure level.*: [01]\.\d", done.stdout)


def test_no_directive_is_unknown(analyze: str, tmp_path: Path) -> None:
    """`verify` returns 0 for unknown keys and says so on stderr only; the program itself is not installed here."""
    text = UNIT.read_text()
    assert text.count("ExecStart=/usr/local/bin/edge run\n") == 1
    (tmp_path / "facelatch.service").write_text(text.replace("/usr/local/bin/edge run", "/bin/true"))
    assert run(analyze, "verify", tmp_path / "facelatch.service").stderr == ""
    (tmp_path / "facelatch.service").write_text(text.replace("ProtectHome=", "ProtectHouse="))
    assert "ProtectHouse" in run(analyze, "verify", tmp_path / "facelatch.service").stderr


def test_cameras_stay_reachable() -> None:
    text = UNIT.read_text()
    assert "DeviceAllow=char-video4linux rw" in text
    assert not re.search(r"^PrivateDevices=yes", text, re.MULTILINE)
    assert not re.search(r"^DeviceAllow=/dev/video", text, re.MULTILINE)


@pytest.mark.parametrize("script", ["install.sh", "setup-host.sh"])
def test_scripts_are_sound(script: str) -> None:
    assert run("sh", "-n", DEPLOY / script).stderr == ""
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    done = run("shellcheck", DEPLOY / script)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("words", [("--help",), ("-h",)])
def test_help_is_help(words: tuple[str, ...]) -> None:
    done = run(DEPLOY / "install.sh", *words)
    assert (done.returncode, "usage:" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--frobnicate",), 2, "no such option"),
        (("--model",), 2, "needs a value"),
        (("--dry-run", "--model", "/none.tflite"), 1, "/none.tflite: no such model file"),
        (("--dry-run", "--wheels", "/none"), 1, "/none: no such folder"),
    ],
)
def test_bad_words_are_named(words: tuple[str, ...], code: int, told: str) -> None:
    done = run(DEPLOY / "install.sh", *words)
    assert (done.returncode, told in done.stderr) == (code, True)


@pytest.mark.parametrize("action", [(), ("--uninstall",), ("--purge",)])
def test_a_dry_run_only_talks(action: tuple[str, ...]) -> None:
    if not Path("/usr/bin/python3").exists():
        pytest.skip("no /usr/bin/python3 here")
    watched = [
        Path(p) for p in ("/opt/facelatch", "/etc/facelatch", "/usr/local/bin/edge", "/etc/systemd/system/facelatch.service")
    ]
    before = [path.exists() for path in watched]
    done = run(DEPLOY / "install.sh", "--dry-run", *action)
    assert done.returncode == 0, done.stderr
    assert "would: " in done.stdout
    assert [path.exists() for path in watched] == before
