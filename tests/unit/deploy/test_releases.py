"""The installer's switch, roll-back and removal, on a folder that stands for another system, with programs that do nothing."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

INSTALL = Path(__file__).parents[3] / "deploy/install.sh"
UNIT = "usr/local/lib/systemd/system/facelatch.service"
MAN = "usr/local/share/man/man1/edge.1"
FISH = "usr/share/fish/vendor_completions.d/edge.fish"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the installer must be root")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A system with two releases: `old` is in use and has no manual page, `new` has one."""
    root = tmp_path / "image"
    (root / "usr").mkdir(parents=True)
    for name, files in (("old", [UNIT]), ("new", [UNIT, MAN, FISH])):
        release = root / "opt/facelatch/releases" / name
        for file in files:
            (release / "system" / file).parent.mkdir(parents=True)
            (release / "system" / file).write_text(name)
        (release / "complete").touch()
    (root / "opt/facelatch/venv").symlink_to("/opt/facelatch/releases/old")
    (root / "opt/facelatch/previous").symlink_to("/opt/facelatch/releases/new")
    (root / UNIT).parent.mkdir(parents=True)
    (root / UNIT).write_text("old")
    return root


def run(image: Path, *words: str) -> None:
    """Runs the installer with an `unshare` that does not start the other system's programs."""
    programs = image.parent / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "unshare").write_text("#!/bin/sh\n")
    (programs / "unshare").chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    done = subprocess.run([INSTALL, "--root", image, *words], env={"PATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def installed(image: Path) -> dict[str, str]:
    return {name: (image / name).read_text() for name in (UNIT, MAN, FISH) if (image / name).exists()}


def test_each_release_has_its_own_manual_and_completions(image: Path) -> None:
    assert installed(image) == {UNIT: "old"}
    for _ in range(2):
        run(image, "--roll-back")
        assert installed(image) == {UNIT: "new", MAN: "new", FISH: "new"}
        run(image, "--roll-back")
        assert installed(image) == {UNIT: "old"}


@pytest.mark.parametrize("words", ["--uninstall", "--purge"])
def test_nothing_of_it_is_left_in_the_system(image: Path, words: str) -> None:
    run(image, "--roll-back")
    links = image / "etc/systemd/system"
    (links / "multi-user.target.wants").mkdir(parents=True)
    (links / "custom.target.requires").mkdir()
    ours = {
        "multi-user.target.wants/facelatch.service": f"/{UNIT}",
        "custom.target.requires/facelatch-enroll@ada.service": "/usr/local/lib/systemd/system/facelatch-enroll@.service",
        "dbus-io.facelatch.service": f"/{UNIT}",
        "fprintd.service": f"/{UNIT}",
        "door.service": "facelatch.service",
    }
    others = {
        "masked.service": "/dev/null",
        "multi-user.target.wants/ssh.service": "/usr/lib/systemd/system/ssh.service",
        # The Debian package's.
        "multi-user.target.wants/facelatch-packaged.service": "/usr/lib/systemd/system/facelatch.service",
    }
    for name, target in (ours | others).items():
        (links / name).symlink_to(target)
    run(image, words)
    assert {str(path.relative_to(links)) for path in links.rglob("*") if path.is_symlink()} == set(others)
    assert installed(image) == {}
    assert not (image / "opt/facelatch").exists()


PROGRAMS = """#!/bin/bash
# The other system's programs: `unshare ... in_root ROOT WHEELS COMMAND...` as `in_root` of the installer calls it.
while [ "$1" != in_root ]; do shift; done
root=$2
shift 3
case "$*" in
*" -m venv "*)
    release=$root${!#}
    mkdir -p "$release/bin" "$release/lib"
    printf '#!/bin/sh\\n' >"$release/bin/pip"
    cp "$(dirname "$0")/edge" "$release/bin/edge"
    chmod +x "$release/bin/pip" "$release/bin/edge"
    ;;
/usr/bin/python3* | uname*) exec "$@" ;;
dpkg-query*) cat "$root/var/lib/dpkg/status" 2>/dev/null || exit 1 ;;
setpriv*) exit 1 ;;
"test -d "*) exec test -d "$root$3" ;;
find*) exec find "$root$2" "${@:3}" ;;
env*/bin/edge* | */bin/edge*) ROOT=$root exec "$(dirname "$0")/edge" "$@" ;;
esac
"""
EDGE = f"""#!{sys.executable}
# `edge` of every release: settings must be TOML, and a model for strict settings be `strict`.
import os, sys, tomllib
from pathlib import Path
words, root = " ".join(sys.argv), Path(os.environ["ROOT"])
settings = root / ("etc/facelatch/edge.toml" + ".new" * ("edge.toml.new" in words))
text = settings.read_text() if settings.exists() else ""
if "config show" in words:
    try:
        tomllib.loads(text)
    except ValueError:
        sys.exit(4)
if " status" in words:
    model = tomllib.loads(text).get("model", {{}}).get("path", "")
    if "strict" in text and not (model and "strict" in (root / model[1:]).read_text()):
        print("no operating point", file=sys.stderr)
        sys.exit(5)
    sys.exit(11)
"""


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A system without facelatch, whose Python makes releases that do nothing."""
    root, programs = tmp_path / "other", tmp_path / "programs"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/python3").symlink_to(sys.executable)
    programs.mkdir()
    for name, text in (("unshare", PROGRAMS), ("edge", EDGE)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return root


def install(other: Path, *words: object, umask: int = 0o022) -> subprocess.CompletedProcess[str]:
    path = f"{other.parent / 'programs'}:{os.environ['PATH']}"
    command = [INSTALL, "--root", other, *words]
    return subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=False, umask=umask)


def test_whoever_keeps_files_to_herself_installs_for_the_service_all_the_same(other: Path) -> None:
    """sudo passes on the caller's umask, and the service does not start if its user cannot read the files."""
    done = install(other, umask=0o077)
    assert done.returncode == 0, done.stderr
    made = [path for place in ("opt", "etc", "usr/local") for path in (other / place).rglob("*") if not path.is_symlink()]
    assert other / "etc/facelatch/edge.toml" in made
    closed = [
        path
        for path in made
        if path.stat().st_mode & 0o055 != (0o055 if path.is_dir() else path.stat().st_mode & 0o011 | 0o044)
    ]
    assert closed == []


@pytest.mark.parametrize(
    "before", ["", "[camera]\nmirror = true\n", "[model]\n  path = 'compact'\nthreads = 2\n", " [model] # mine\n"]
)
def test_a_model_is_named_and_the_settings_stay_whose_they_were(other: Path, before: str) -> None:
    """docs/cameras.md has root:facelatch and 0640 for the file; with another group, the service could not read it."""
    assert install(other).returncode == 0
    toml, model = other / "etc/facelatch/edge.toml", other.parent / "own.tflite"
    toml.write_text(before)
    owner = (0, 4711) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(toml, *owner)
    toml.chmod(0o640)
    model.write_text("own")
    done = install(other, "--model", model)
    assert done.returncode == 0, done.stderr
    assert (toml.stat().st_uid, toml.stat().st_gid, toml.stat().st_mode & 0o777) == (*owner, 0o640)
    told = tomllib.loads(toml.read_text())
    assert told["model"]["path"] == "/etc/facelatch/model.tflite"
    assert set(told) | set(told["model"]) >= {key for key in ("camera", "threads") if key in before}
    assert sorted(path.name for path in toml.parent.iterdir()) == ["edge.toml", "model.tflite"]


@pytest.mark.parametrize("before", ['model.path = "compact"\n', "[ model ]\nthreads = 2\n", "# strict\n"])
def test_a_model_that_the_settings_do_not_go_with_is_refused_before_it_is_in_use(other: Path, before: str) -> None:
    """A form of TOML that the installer does not know, or an operating point that the new model has no measurement for."""
    assert install(other).returncode == 0
    toml, model = other / "etc/facelatch/edge.toml", other.parent / "own.tflite"
    toml.write_text(before)
    (toml.parent / "model.tflite").write_text("strict")
    model.write_text("own")
    done = install(other, "--model", model)
    assert (done.returncode, "what is in use is untouched" in done.stderr) == (1, True), done.stderr
    assert (toml.read_text(), (toml.parent / "model.tflite").read_text()) == (before, "strict")
    assert sorted(path.name for path in toml.parent.iterdir()) == ["edge.toml", "model.tflite"]


@pytest.mark.parametrize("place", ["folder", "link"])
def test_a_purge_leaves_no_template_wherever_the_state_lies(other: Path, place: str) -> None:
    assert install(other).returncode == 0
    kept = other / "var/lib/facelatch"
    if place == "link":
        (other / "srv/faces").mkdir(parents=True)
        kept.parent.mkdir(parents=True)
        kept.symlink_to("../../srv/faces")
    (kept / "gallery").mkdir(parents=True)
    (kept / "gallery/ada.faces").write_text("ada")
    done = install(other, "--purge")
    assert done.returncode == 0, done.stderr
    assert not list(other.rglob("ada.faces"))
    assert not os.path.lexists(kept)


def test_a_folder_of_wheels_may_have_a_blank_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "my stick"
    folder.mkdir()
    parts = INSTALL.parent / "installer"
    script = (
        f'. {parts}/machine.sh; . {parts}/release.sh; do_() {{ :; }}; do_in_root() {{ printf "<%s>" "$@"; }}; system_files() {{ :; }}; '
        f'dry_run=yes root= wheels="{folder}" release=/r machine=x86_64 lock=lock here=/h python=p; build_release'
    )
    told = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, check=True).stdout
    assert told.count(f"<--no-index><--find-links><{folder}>") == 3


@pytest.mark.parametrize("word", ["--uninstall", "--purge"])
def test_what_debians_package_installed_is_not_taken_out(other: Path, word: str) -> None:
    """The package's units, settings, templates and user have the same names as the installer's."""
    files = [
        other / name
        for name in ("usr/share/doc/facelatch/copyright", "var/lib/facelatch/gallery/ada.faces", "var/lib/dpkg/status")
    ]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text("install ok installed\n")
    done = install(other, word)
    assert (done.returncode, "apt-get remove facelatch" in done.stderr) == (1, True)
    assert all(file.exists() for file in files)


def test_nobodys_home_adds_code_to_the_command(other: Path) -> None:
    """The home of the service's user is the state folder: code that a compromised daemon left there would run at every start."""
    assert install(other).returncode == 0
    (edge,) = (other / "opt/facelatch/releases").glob("*/bin/edge")
    home = other / "var/lib/facelatch"
    packages = home / f".local/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    packages.mkdir(parents=True)
    (packages / "usercustomize.py").write_text("print('planted')")
    variables = {"HOME": str(home), "ROOT": str(other), "PYTHONPATH": str(packages), "PYTHONSTARTUP": str(packages)}
    done = subprocess.run([edge, "list"], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert edge.read_text().partition("\n")[0].endswith(" -I")


def broken_off(other: Path, *words: str, program: str, ending: str) -> None:
    """Runs the installer and kills it, as a power cut does, when it comes to a program whose words end like this."""
    killing = other.parent / "killing"
    killing.mkdir(exist_ok=True)
    shim = killing / program
    shim.write_text(f'#!/bin/sh\ncase "$*" in *"{ending}") kill -9 0 ;; esac\nPATH=${{PATH#*:}}\nexec {program} "$@"\n')
    shim.chmod(0o755)
    path = f"{killing}:{other.parent / 'programs'}:{os.environ['PATH']}"
    command = [INSTALL, "--root", other, *words]
    done = subprocess.run(command, env={"PATH": path}, capture_output=True, check=False, start_new_session=True)
    assert done.returncode == -9, done.stderr
    shim.unlink()


def links(other: Path) -> list[str]:
    return [(other / "opt/facelatch" / link).readlink().name for link in ("venv", "previous")]


def upgradable(other: Path) -> str:
    """Installs, and lets what is installed have another name, so that these sources are an upgrade. Before both there was `older`."""
    assert install(other).returncode == 0
    program = other / "opt/facelatch"
    (new,) = [path.name for path in (program / "releases").iterdir()]
    (program / "releases" / new).rename(program / "releases/good")
    (program / "releases/older/system").mkdir(parents=True)
    (program / "releases/older/complete").touch()
    for link, to in (("venv", "good"), ("previous", "older")):
        (program / link).unlink(missing_ok=True)
        (program / link).symlink_to(f"/opt/facelatch/releases/{to}")
    only = program / "releases/good/system/usr/share/doc/facelatch/examples/of-good.conf"
    for path in (only, other / only.relative_to(program / "releases/good/system")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return new


# Where a switch can be broken off: a program, and the end of its words.
SWITCH = [
    ("mv", "/opt/facelatch/venv"),
    ("install", "other/usr/local/bin"),
    ("install", f"other/{UNIT}"),
    ("unshare", " systemd-sysusers facelatch.conf"),
    ("unshare", " journalctl --update-catalog"),
    ("rm", "/opt/facelatch/unfinished"),
]


@pytest.mark.parametrize(("program", "ending"), SWITCH)
def test_an_upgrade_that_was_broken_off_is_finished(other: Path, program: str, ending: str) -> None:
    """And the release before it, to which people go back, stays."""
    new = upgradable(other)
    made = other / "users"
    (other.parent / "programs/unshare").write_text(
        PROGRAMS.replace('case "$*" in\n', f'case "$*" in\nsystemd-sysusers*) touch {made} ;;\n', 1)
    )
    broken_off(other, program=program, ending=ending)
    made.unlink(missing_ok=True)
    done = install(other)
    assert done.returncode == 0, done.stderr
    assert made.exists(), "the rest of the switch was not done"
    assert links(other) == [new, "good"]
    assert not list(other.glob("usr/share/doc/facelatch/examples/of-good.conf"))
    assert sorted(path.name for path in (other / "opt/facelatch/releases").iterdir()) == sorted([new, "good"])
    assert "nothing was changed" in install(other).stdout


@pytest.mark.parametrize(("program", "ending"), SWITCH[:-1])
def test_a_roll_back_that_was_broken_off_is_finished(other: Path, program: str, ending: str) -> None:
    new = upgradable(other)
    assert install(other).returncode == 0
    broken_off(other, "--roll-back", program=program, ending=ending)
    assert install(other, "--roll-back").returncode == 0
    assert links(other) == ["good", new]
    assert install(other, "--roll-back").returncode == 0
    assert links(other) == [new, "good"]


@pytest.mark.parametrize("word", ["--uninstall", "--purge"])
def test_nothing_is_left_of_either_release_after_a_switch_that_was_broken_off(other: Path, word: str) -> None:
    upgradable(other)
    broken_off(other, program="install", ending="other/usr/local/bin")
    assert install(other, word).returncode == 0
    assert [path for path in (other / "usr").rglob("*") if path.is_file() and path.name != "python3"] == []


def test_a_release_that_cannot_be_finished_takes_no_room(other: Path) -> None:
    """On a full disk what is left of it would keep the disk full, and a door that cannot count failures judges nobody."""
    program = other.parent / "programs/unshare"
    program.write_text(PROGRAMS.replace("    printf '#!/bin/sh", "    exit 1\n    printf '#!/bin/sh"))
    done = install(other)
    assert done.returncode == 1
    assert list((other / "opt/facelatch/releases").iterdir()) == []


def test_a_release_is_on_the_disk_before_it_is_called_whole(other: Path) -> None:
    """Otherwise a power cut can leave its names without their content, and the next run takes it for whole."""
    sync, log = other.parent / "programs/sync", other.parent / "synced"
    sync.write_text(f'#!/bin/sh\n[ "$1" = -f ] && ls "$2" >>{log}\n')
    sync.chmod(0o755)
    assert install(other).returncode == 0
    there = log.read_text().split()
    assert "system" in there
    assert "complete" not in there


def test_there_is_one_installer_at_a_time(other: Path) -> None:
    """A second one would remove the release that the first is making."""
    held = os.open(other / "usr", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    for words in ((), ("--roll-back",), ("--purge",)):
        done = install(other, *words)
        assert (done.returncode, "another run of this installer" in done.stderr) == (1, True), done.stderr
    os.close(held)
    assert install(other).returncode == 0


def test_a_purge_deletes_the_templates_whatever_else_fails(other: Path) -> None:
    """Such as the journal's catalog, where /var has no room for it."""
    assert install(other).returncode == 0
    program, kept = other.parent / "programs/unshare", other / "var/lib/facelatch/gallery/ada.faces"
    program.write_text(PROGRAMS.replace('case "$*" in\n', 'case "$*" in\njournalctl*) exit 1 ;;\n', 1))
    kept.parent.mkdir(parents=True)
    kept.write_text("ada")
    install(other, "--purge")
    assert not kept.exists()


def test_settings_that_could_not_be_made_are_not_put_in_place(other: Path) -> None:
    """No later run would write them again."""
    (other.parent / "programs/edge").write_text("#!/bin/sh\nexit 9\n")
    assert install(other).returncode == 1
    assert not (other / "etc/facelatch/edge.toml").exists()


@pytest.mark.parametrize("state", ["half-configured", "unpacked", "triggers-pending"])
@pytest.mark.parametrize("word", ["", "--purge"])
def test_a_half_installed_package_is_one_too(other: Path, state: str, word: str) -> None:
    """As dpkg leaves it when it is broken off; `dpkg --configure -a` goes on."""
    status, kept = other / "var/lib/dpkg/status", other / "var/lib/facelatch/gallery/ada.faces"
    for path, text in ((status, f"install ok {state}\n"), (kept, "ada")):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    done = install(other, *([word] if word else []))
    assert (done.returncode, "apt-get remove facelatch" in done.stderr) == (1, True), done.stdout
    assert kept.exists()
    status.write_text("deinstall ok config-files\n")
    assert install(other).returncode == 0


def test_what_builds_a_package_has_a_digest_too(other: Path) -> None:
    """Otherwise pip fetches the newest from the index and runs it, as root."""
    told = other.parent / "asked"
    program = other.parent / "programs/unshare"
    program.write_text(PROGRAMS.replace("esac\n", f'*/bin/pip*) echo "$*" >>{told} ;;\nesac\n'))
    assert install(other).returncode == 0
    builders, packages, own = told.read_text().splitlines()
    assert "--require-hashes --only-binary=:all: -r " in builders
    assert "/source/build " in builders
    assert all("--no-build-isolation" in words and "PYTHONPATH=" in words for words in (packages, own))
