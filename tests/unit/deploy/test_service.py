"""The unit is hardened as it claims, and the installer says what it would do before it does it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.package.local import write_local

DEPLOY = Path(__file__).parents[3] / "deploy"
UNIT, ENROLMENT = DEPLOY / "facelatch.service", DEPLOY / "facelatch-enroll@.service"
SCRIPTS = [*sorted(DEPLOY.glob("*.sh")), *sorted((DEPLOY.parent / "tests/system").glob("*.sh"))]


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)


@pytest.fixture
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze is not installed")
    return found


@pytest.mark.parametrize("unit", [UNIT, ENROLMENT], ids=["service", "enrolment"])
def test_the_exposure_is_at_most_one_and_a_half(analyze: str, unit: Path) -> None:
    done = run(analyze, "security", "--offline=true", "--threshold=15", unit)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Overall exposure level.*: [01]\.\d", done.stdout)


def unexplained(directives: list[str], unit: str) -> list[str]:
    """The directives, such as `RootDirectory=/RootImage=`, that no comment names and that do not stand below a comment."""
    comments = " ".join(re.findall(r"^#(.*)$", unit, re.MULTILINE))
    left = []
    for directive in directives:
        names = re.findall(r"([A-Za-z]+)=", directive)
        under = any(re.search(rf"^#.*\n{name}=", unit, re.MULTILINE) for name in names)
        if not (under or any(f"{name}=" in comments for name in names)):
            left.append(directive)
    return left


def test_what_of_the_sandbox_is_not_taken_has_its_reason_beside_it(analyze: str) -> None:
    done = run(analyze, "security", "--offline=true", "--json=short", UNIT)
    not_taken = [check["name"] for check in json.loads(done.stdout) if check["set"] is False]
    assert "PrivateDevices=" in not_taken
    unit = UNIT.read_text()
    assert unexplained(not_taken, unit) == []
    assert unexplained(not_taken, re.sub(r"^#.*\n", "", unit, flags=re.MULTILINE)) == not_taken  # so the check works


def exposure(analyze: str, unit: Path) -> str:
    told = run(analyze, "security", "--offline=true", unit).stdout
    return re.findall(r"Overall exposure level for \S+: ([\d.]+)", told)[0]


def test_the_exposures_are_those_that_the_threat_model_tells(analyze: str, tmp_path: Path) -> None:
    told = (DEPLOY.parent / "docs/threat-model.md").read_text()
    ((alone, version, opened),) = re.findall(
        r"exposure ([\d.]+) of `systemd-analyze security` \(systemd (\d+); .* with all three of `deploy/options` it is ([\d.]+)",
        told,
    )
    if (found := run(analyze, "--version").stdout.split()[1]) != version:
        pytest.skip(f"the threat model tells what systemd {version} counts; here is {found}")
    options = [path.read_text() for path in sorted((DEPLOY / "options").glob("*.conf"))]
    assert len(options) == 3
    both = tmp_path / "facelatch.service"
    both.write_text(UNIT.read_text().replace("[Install]", "\n".join(options) + "\n[Install]"))
    assert (exposure(analyze, UNIT), exposure(analyze, both)) == (alone, opened)


def verified(analyze: str, folder: Path, name: str, text: str) -> str:
    """What `verify` prints on stderr, because it returns 0 for unknown keys. /bin/true stands for the program, which is not installed."""
    path = folder / name
    path.write_text(re.sub("^ExecStart=.*$", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    return run(analyze, "verify", path).stderr


def test_no_directive_is_unknown(analyze: str, tmp_path: Path) -> None:
    service, enrolment = UNIT.read_text(), ENROLMENT.read_text()
    assert service.count("ExecStart=/usr/local/bin/edge run\n") == 1
    assert verified(analyze, tmp_path, "facelatch.service", service) == ""
    assert verified(analyze, tmp_path, "facelatch-enroll@ada.service", enrolment) == ""
    assert "ProtectHouse" in verified(analyze, tmp_path, "facelatch.service", service.replace("ProtectHome=", "ProtectHouse="))


@pytest.mark.parametrize("option", sorted(path.name for path in (DEPLOY / "options").glob("*.conf")))
def test_an_option_is_a_drop_in_that_systemd_takes(analyze: str, tmp_path: Path, option: str) -> None:
    """It only adds its own lines and leaves the sandbox: it opens exactly what its name says."""
    service, told = UNIT.read_text(), (DEPLOY / "options" / option).read_text()
    assert f"deploy/options/{option} /etc/systemd/system/" in told
    assert verified(analyze, tmp_path, "facelatch.service", service.replace("[Install]", f"{told}\n[Install]")) == ""
    assert not re.search(r"^(CapabilityBoundingSet|NoNewPrivileges|ProtectSystem|SystemCallFilter)=", told, re.MULTILINE)


def sandbox(unit: Path) -> list[str]:
    """The lines of a unit that confine it."""
    told = unit.read_text().partition("User=facelatch\n")[2].partition("[Install]")[0]
    return [line for line in told.splitlines() if line and not line.startswith(("#", "RuntimeDirectory="))]


def test_an_enrolment_is_confined_as_the_service_is() -> None:
    assert sandbox(ENROLMENT) == sandbox(UNIT)
    assert len(sandbox(UNIT)) > 30


def of(unit: Path, directive: str) -> list[str]:
    """The words of a directive's values in a unit."""
    return " ".join(re.findall(rf"^{directive}=(.*)$", unit.read_text(), re.MULTILINE)).split()


@pytest.mark.parametrize("unit", [UNIT, ENROLMENT], ids=["service", "enrolment"])
def test_nothing_that_can_be_written_can_be_run(unit: Path) -> None:
    places = {
        "StateDirectory": "/var/lib",
        "RuntimeDirectory": "/run",
        "CacheDirectory": "/var/cache",
        "LogsDirectory": "/var/log",
    }
    written = [f"{place}/{name}" for directive, place in places.items() for name in of(unit, directive)]
    written += [*of(unit, "ReadWritePaths"), "/tmp", "/var/tmp", "/dev/shm"]
    assert of(unit, "ProtectSystem") == ["strict"]
    assert "/var/lib/facelatch" in written
    assert set(written) <= {path.removeprefix("-") for path in of(unit, "NoExecPaths")}


def test_the_rules_are_ones_that_udev_takes() -> None:
    udevadm = shutil.which("udevadm")
    if udevadm is None or "verify" not in run(udevadm, "--help").stdout:
        pytest.skip("udevadm verify is not installed; systemd 254 brings it")
    done = run(udevadm, "verify", DEPLOY / "facelatch.rules")
    assert done.returncode == 0, done.stdout + done.stderr


def test_cameras_stay_reachable() -> None:
    text = UNIT.read_text()
    assert "DeviceAllow=char-video4linux rw" in text
    assert not re.search(r"^PrivateDevices=yes", text, re.MULTILINE)
    assert not re.search(r"^DeviceAllow=/dev/video", text, re.MULTILINE)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_sound(script: Path) -> None:
    assert run("sh", "-n", script).stderr == ""
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    done = run("shellcheck", "--external-sources", script)
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
        (("--dry-run", "--root", "/none"), 1, "/none: no system in it"),
        (("--root",), 2, "needs a value"),
        (("--dry-run", "--purge", "--root", ""), 2, "--root needs a value"),
        (("--dry-run", "--wheels", ""), 2, "--wheels needs a value"),
        (("--dry-run", "--roll-back"), 1, "there is no release to go back to"),
    ],
)
def test_bad_words_are_named(words: tuple[str, ...], code: int, told: str) -> None:
    done = run(DEPLOY / "install.sh", *words)
    assert (done.returncode, told in done.stderr) == (code, True)


@pytest.mark.parametrize("action", [(), ("--uninstall",), ("--purge",)])
def test_a_dry_run_only_talks(action: tuple[str, ...]) -> None:
    if not Path("/usr/bin/python3").exists():
        pytest.skip("no /usr/bin/python3 here")
    if Path("/opt/facelatch").exists():
        pytest.skip("facelatch is installed here")
    watched = [
        Path(p)
        for p in ("/opt/facelatch", "/etc/facelatch", "/usr/local/bin/edge", "/usr/local/lib/systemd/system/facelatch.service")
    ]
    before = [path.exists() for path in watched]
    done = run(DEPLOY / "install.sh", "--dry-run", *action)
    assert done.returncode == 0, done.stderr
    assert "would: " in done.stdout
    assert [path.exists() for path in watched] == before


def test_a_dry_run_shows_every_file(tmp_path: Path) -> None:
    """Each file of deploy/ that is installed is put into the release, and from there into its place."""
    if not Path("/usr/bin/python3").exists() or Path("/opt/facelatch").exists():
        pytest.skip("no /usr/bin/python3 here, or facelatch is installed")
    told = run(DEPLOY / "install.sh", "--dry-run").stdout
    apart = {"install.sh", "setup-host.sh", "wheels.sh"}
    files = [path.name for path in DEPLOY.iterdir() if path.is_file() and path.name not in apart]
    assert [name for name in files if f"deploy/{name} " not in told] == []
    placed = re.findall(r"^would: install -D -m 0644 \S+?/system(/\S+) (/\S+)$", told, re.MULTILINE)
    write_local(tmp_path)
    made = {f"/{path.relative_to(tmp_path)}" for path in tmp_path.rglob("*") if path.is_file()}
    assert made < {place for _, place in placed}
    docs = DEPLOY.parent / "docs"
    manuals = {
        f"/usr/share/doc/facelatch/{page.relative_to(docs.parent)}"
        for page in (*docs.glob("*.md"), *docs.glob("model-cards/*.md"))
    }
    assert manuals < {place for _, place in placed}
    assert len(placed) == len(files) + 1 + len(manuals) + len(made)  # the README
    assert all(source == place for source, place in placed)


@pytest.mark.parametrize(("words", "code", "told"), [((), 2, "usage:"), (("/none", "sparc"), 1, "sparc:")])
def test_wheels_are_for_machines_that_have_some(words: tuple[str, ...], code: int, told: str) -> None:
    done = run(DEPLOY / "wheels.sh", *words)
    assert (done.returncode, told in done.stderr) == (code, True)
