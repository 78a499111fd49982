"""The parts of the Debian package that need no Debian: manual pages, settings file, install paths, licences, library dependencies."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from deploy.package import local, manual, roff, stage, wheels
from deploy.package.completions import LOCAL_PLACES, completion
from deploy.package.completions import PLACES as SHELLS
from deploy.package.licences import copyright_text
from deploy.package.targets import DISTRIBUTIONS
from edge.settings import Mode, Settings

DEPLOY = Path(__file__).parents[3] / "deploy"
DAY = date(2026, 1, 2)
PAGES = {"edge.1": manual.edge_1("1.2.3", DAY), "edge.toml.5": manual.edge_toml_5("1.2.3", DAY)}
PAGES["facelatch.service.8"] = (DEPLOY / "debian/facelatch.service.8").read_text()


def rendered(page: str, folder: Path) -> tuple[str, str]:
    """A page as man shows it, and groff's warnings."""
    if shutil.which("man") is None or shutil.which("groff") is None:
        pytest.skip("man-db and groff are not installed")
    (folder / "page").write_text(page)
    words = ["man", "--warnings", "--local-file", str(folder / "page")]
    told = {"LC_ALL": "C.UTF-8", "MANWIDTH": "200", "MANROFFOPT": "-c", "MAN_KEEP_FORMATTING": "", "PATH": os.environ["PATH"]}
    done = subprocess.run(words, env=told, capture_output=True, text=True, check=True)
    return re.sub(r".\x08", "", done.stdout), done.stderr


@pytest.mark.parametrize("name", PAGES)
def test_man_shows_a_page_without_a_warning(name: str, tmp_path: Path) -> None:
    text, warnings = rendered(PAGES[name], tmp_path)
    assert warnings == ""
    assert "SEE ALSO" in text


def test_man_would_warn(tmp_path: Path) -> None:
    """An undefined macro: otherwise the test above could not fail."""
    assert rendered(PAGES["edge.1"] + ".XYZ\n", tmp_path)[1] != ""


def test_every_command_and_option_has_its_place(tmp_path: Path) -> None:
    text, _ = rendered(PAGES["edge.1"], tmp_path)
    found = list(manual.commands())
    assert {"edge enroll", "edge model show", "edge config show"} <= {words for words, _, _ in found}
    for words, command, context in found:
        assert f"   {words} " in text
        for parameter in command.get_params(context):
            assert parameter.opts[0] == "--help" or parameter.opts[0] in text, f"{words} {parameter.opts}"


def test_every_setting_has_its_range_and_default(tmp_path: Path) -> None:
    text, _ = rendered(PAGES["edge.toml.5"], tmp_path)
    for table, field in Settings.model_fields.items():
        section = text[text.index(f"[{table}]") :]
        for key in type(getattr(Settings(), table)).model_fields:
            assert re.search(rf"^ +{key} = ", section, re.MULTILINE), f"{table}.{key} of {field}"
    assert re.search(r"threads = integer, from 1 to 16\n.*\(default: 1\)", text)
    assert re.search(r"rotate = 0 \| 90 \| 180 \| 270\n", text)
    assert re.search(r"target_fmr = number, above 0 below 1\n.*\(default: 0.001\)", text)


def test_the_services_page_tells_what_the_service_has(tmp_path: Path) -> None:
    """Its modes, bus names, writable folders, udev links and the unit that enrols, each from the file that defines it."""
    text, _ = rendered(PAGES["facelatch.service.8"], tmp_path)
    unit, udev = (DEPLOY / "facelatch.service").read_text(), (DEPLOY / "facelatch.rules").read_text()
    has = [f'service.mode = "{mode}"' for mode in Mode]
    has += re.findall(r'allow own="([^"]+)"', (DEPLOY / "io.facelatch.conf").read_text())
    has += [f"/var/lib/{name}" for name in re.findall(r"^StateDirectory=(\S+)", unit, re.MULTILINE)]
    has += [f"/run/{name}" for name in re.findall(r"^RuntimeDirectory=(\S+)", unit, re.MULTILINE)]
    has += [f"/dev/{name}" for name in re.findall(r'SYMLINK\+="(\S+)\$attr\{devpath\} (\S+)"', udev)[0]]
    assert len(has) == 2 + 3 + 1 + 1 + 2
    assert [what for what in [*has, "facelatch-enroll@", "compat.fprintd = true", "io.facelatch"] if what not in text] == []


def test_every_exit_code_is_told() -> None:
    assert "a check fails" in manual.EXITS[manual.ExitCode.FAILED]
    assert all(f"\\fB{code.value}\\fR" in PAGES["edge.1"] for code in manual.ExitCode)
    assert set(manual.EXITS) == set(manual.ExitCode)


@pytest.mark.parametrize("text", [".TH is text", "a `b-c` d", "back\\slash", 'it\'s ^ and ~ and "q"', "µ and ß", "'quoted'"])
def test_text_arrives_as_it_is(text: str, tmp_path: Path) -> None:
    page = roff.Page("x", 1, DAY, "x 1")
    page.section("name")
    page.paragraph("x \\- y")
    page.paragraph(roff.prose(text))
    shown, warnings = rendered(page.text(), tmp_path)
    assert (warnings, text.replace("`", "") in shown) == ("", True)


def test_the_settings_file_sets_nothing_and_names_every_key() -> None:
    text = stage.sample()
    assert Settings.model_validate(tomllib.loads(text)) == Settings()
    assert all(not line or line.startswith(("#", "[")) for line in text.splitlines())
    freed = re.sub(r"^#(?! )", "", text, flags=re.MULTILINE)
    assert tomllib.loads(freed) == tomllib.loads(stage.as_toml(Settings()))


@pytest.mark.parametrize("shell", SHELLS)
def test_completions_ask_the_command(shell: str) -> None:
    script = completion(shell)
    assert f"_EDGE_COMPLETE=complete_{shell}" in script
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert subprocess.run([shell, "-n"], input=script, capture_output=True, text=True, check=False).stderr == ""


def test_the_installer_puts_the_same_below_usr_local(tmp_path: Path) -> None:
    """Pages, completions and examples as in the package, in places where man and the shells look."""
    local.write_local(tmp_path)
    version, today = (
        tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]["version"],
        datetime.now(UTC).date(),
    )
    man = tmp_path / "usr/local/share/man"
    assert (man / "man1/edge.1").read_text() == manual.edge_1(version, today)
    assert (man / "man5/edge.toml.5").read_text() == manual.edge_toml_5(version, today)
    assert (man / "man8/facelatch.service.8").read_text() == PAGES["facelatch.service.8"]
    assert {shell: (tmp_path / place).read_text() for shell, place in LOCAL_PLACES.items()} == {
        shell: completion(shell) for shell in SHELLS
    }
    examples = {path.name: path.read_text() for path in (tmp_path / "usr/share/doc/facelatch/examples").iterdir()}
    assert set(examples) == {path.name for path in (DEPLOY / "options").iterdir()}
    assert all(f"/usr/share/doc/facelatch/examples/{name} /etc/" in text for name, text in examples.items())


@pytest.mark.parametrize(("shell", "words"), [("zsh", "print -l $fpath"), ("fish", "string join \\n $fish_complete_path")])
def test_shells_look_where_completions_are_put(shell: str, words: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    looked = subprocess.run([shell, "-c", words], capture_output=True, text=True, check=True).stdout.splitlines()
    assert {f"/{Path(places[shell]).parent}" for places in (SHELLS, LOCAL_PLACES)} <= set(looked)


def test_no_file_of_the_system_is_forgotten() -> None:
    """The scripts install; every other file in deploy/ is installed, so it must have a place in the package, too."""
    placed = {file for pattern in stage.PLACES for file in DEPLOY.glob(pattern)}
    loose = {file for file in DEPLOY.iterdir() if file.is_file() and file.suffix != ".sh"}
    assert {file.name for file in loose - placed} == set()
    assert DEPLOY / "facelatch.service" in placed


def test_the_manuals_are_where_the_readme_has_them(tmp_path: Path) -> None:
    stage._manuals(tmp_path)
    linked = set(re.findall(r"\]\((docs/[a-z/-]+\.md)", (DEPLOY.parent / "README.md").read_text()))
    pages = {page for page in linked if "decisions" not in page}
    assert "docs/install.md" in pages
    assert [page for page in sorted(pages) if not (tmp_path / "usr/share/doc/facelatch" / page).is_file()] == []
    assert (DEPLOY / "debian/facelatch.docs").read_text() == "README.md\n"


def test_nothing_points_to_the_installers_places(tmp_path: Path) -> None:
    stage._system_files(tmp_path)
    texts = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert "ExecStart=/usr/bin/edge run" in texts[tmp_path / "lib/systemd/system/facelatch.service"]
    assert [path.name for path, text in texts.items() if "/usr/local" in text or "deploy/" in text] == []


def test_versions_rise_with_the_distribution() -> None:
    of = {
        name: stage.Package("1.2.3", d, "arm64", "a <b@c>", datetime.now(UTC)).debian_version
        for name, d in DISTRIBUTIONS.items()
    }
    assert of == {"bookworm": "1.2.3-1~deb12", "trixie": "1.2.3-1~deb13"}
    if shutil.which("dpkg") is None:
        pytest.skip("dpkg is not installed")
    for lower, higher in ((of["bookworm"], of["trixie"]), (of["trixie"], "1.2.3-1")):
        assert subprocess.run(["dpkg", "--compare-versions", lower, "lt", higher], check=False).returncode == 0


def test_the_python_that_wheels_are_for_is_pinned() -> None:
    assert DISTRIBUTIONS["bookworm"].depends.startswith("python3 (>= 3.11~), python3 (<< 3.12~), libc6 (>= 2.36)")


@pytest.mark.parametrize(
    ("architecture", "told"), [("arm64", "not for arm64"), ("amd64", "needs libtinfo.so.6, which neither")]
)
def test_what_would_not_load_is_named(architecture: str, told: str, tmp_path: Path) -> None:
    """bash is built for this processor and needs libtinfo, which the package does not depend on."""
    if shutil.which("readelf") is None or os.uname().machine != "x86_64":
        pytest.skip("needs readelf and an x86-64 machine")
    shutil.copy("/bin/bash", tmp_path / "library.so")
    assert any(told in problem for problem in wheels.problems(tmp_path, architecture))
    assert any("libtinfo" in problem for problem in wheels.problems(tmp_path, architecture))


def test_an_empty_folder_is_a_problem(tmp_path: Path) -> None:
    assert wheels.problems(tmp_path, "arm64") == [f"{tmp_path}: no library at all"]


def test_each_wheels_licence_is_named(tmp_path: Path) -> None:
    for name, fields in {
        "a": "License-Expression: MIT\n",
        "b": "Classifier: License :: OSI Approved :: BSD License\n",
        "c": "",
    }.items():
        (tmp_path / f"{name}-1.dist-info").mkdir()
        (tmp_path / f"{name}-1.dist-info/METADATA").write_text(f"Name: {name}\nVersion: 1\n{fields}\nLicense: in the body\n")
    (tmp_path / "a-1.dist-info/LICENSE.txt").write_text("the text")
    text = copyright_text("ours", tmp_path)
    assert text.startswith("ours\n")
    assert "a 1\n  Licence: MIT\n  Text: /usr/lib/facelatch/a-1.dist-info/LICENSE.txt\n" in text
    assert "b 1\n  Licence: BSD License\n  Text: none in the wheel\n" in text
    assert "c 1\n  Licence: not told by its metadata\n" in text


def postrm(root: Path, action: str) -> None:
    """Runs what dpkg calls once the package's files are gone, without the part that debhelper adds."""
    script = DEPLOY / "debian/facelatch.postrm"
    subprocess.run(["sh", script, action], env={"PATH": os.environ["PATH"], "DPKG_ROOT": str(root)}, check=True)


@pytest.mark.parametrize("action", ["remove", "purge"])
@pytest.mark.parametrize("unit", ["/usr/lib/systemd/system/facelatch.service", "/usr/lib/systemd/system/other.service"])
def test_fprintd_has_its_place_back_once_the_package_is_gone(action: str, unit: str, tmp_path: Path) -> None:
    link = tmp_path / "etc/systemd/system/fprintd.service"
    link.parent.mkdir(parents=True)
    link.symlink_to(unit)
    postrm(tmp_path, "upgrade")
    assert link.is_symlink()
    postrm(tmp_path, action)
    assert link.is_symlink() == ("facelatch" not in unit)


def test_a_purge_leaves_no_template_and_no_right(tmp_path: Path) -> None:
    """The service's user remains, and with a polkit rule of deploy/options it could still unlock sessions."""
    kept, faces = tmp_path / "var/lib/facelatch", tmp_path / "srv/faces/gallery"
    faces.mkdir(parents=True)
    kept.parent.mkdir(parents=True)
    kept.symlink_to("../../srv/faces")
    (faces / "ada.faces").write_text("ada")
    added = [
        tmp_path / "etc/polkit-1/rules.d/60-facelatch-unlock-session.rules",
        tmp_path / "etc/systemd/system/facelatch.service.d/gpio.conf",
        tmp_path / "etc/facelatch/edge.toml",
    ]
    other = tmp_path / "etc/polkit-1/rules.d/50-other.rules"
    for file in (*added, other):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    postrm(tmp_path, "remove")
    assert (faces / "ada.faces").exists()
    assert all(file.exists() for file in added)
    postrm(tmp_path, "purge")
    assert not list(tmp_path.rglob("ada.faces"))
    assert [path for path in (tmp_path / "etc").rglob("*") if path.is_file()] == [other]


@pytest.mark.parametrize(("action", "stopped"), [("remove", True), ("upgrade", False)])
def test_a_removal_ends_enrolments(action: str, stopped: bool, tmp_path: Path) -> None:
    """One that went on would write down its person after a purge. An upgrade leaves it its end."""
    log, programs = tmp_path / "log", tmp_path / "bin"
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    programs.mkdir()
    for name in ("deb-systemd-invoke", "py3clean"):
        (programs / name).write_text(f'#!/bin/sh\necho "$(basename "$0") $*" >>{log}\n')
        (programs / name).chmod(0o755)
    told = {"PATH": f"{programs}:{os.environ['PATH']}", "DPKG_ROOT": str(tmp_path)}
    subprocess.run(["sh", DEPLOY / "debian/facelatch.prerm", action], env=told, check=True)
    assert ("deb-systemd-invoke stop facelatch-enroll@*.service" in log.read_text()) is stopped
