"""The `edge` command as a process: what a person types, what is printed, and how bad input is refused."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import ADA, BOB, EVE, MODEL, Device

Clip = Callable[[int, int], Path]


def test_enroll_verify_list_remove(device: Device, clip: Clip) -> None:
    enrolled = device.run("enroll", "ada", "--camera", clip(ADA, 1), "--json")
    assert enrolled.returncode == 0, enrolled.stderr
    told = json.loads(enrolled.stdout)
    assert told["templates"] == sum(told["poses"].values()) == 8
    assert set(told["poses"]) <= {"straight", "left", "right"}
    lines = enrolled.stderr.splitlines()
    assert lines.index("enrolling ada: stand where you will stand later") > lines.index("Before ada is enrolled:") == 0
    assert any("looking for frames: straight" in line for line in lines[1:])
    assert not {"\x1b", "●", "━"} & set(enrolled.stderr)

    accepted = device.run("verify", "--camera", clip(ADA, 2), "--json")
    assert accepted.returncode == 0, accepted.stderr
    told = json.loads(accepted.stdout)
    assert (told["accepted"], told["subject"]) == (True, "ada")

    for arguments in (("verify",), ("verify", "ada")):
        denied = device.run(*arguments, "--camera", clip(EVE, 1), "--json")
        assert denied.returncode == 1, denied.stderr
        assert json.loads(denied.stdout) == {
            "accepted": False, "frames": 10, "operating_point": "fmr-0.001", "reason": "no-match"
        }  # fmt: skip

    (subject,) = json.loads(device.run("list", "--json").stdout)["subjects"]
    assert (subject["subject"], subject["templates"]) == ("ada", 8)
    assert device.run("remove", "ada").returncode == 0
    gone = device.run("verify", "--camera", clip(ADA, 2))
    assert (gone.returncode, "empty-gallery" in gone.stdout) == (1, True)


def test_status_without_a_daemon_tells_what_one_would_begin_with(device: Device) -> None:
    told = device.run("status", "--json")
    assert (told.returncode, "no daemon answers" in told.stderr) == (11, True)
    found = json.loads(told.stdout)
    assert (found["mode"], found["camera"], found["enrolled"], found["operating_point"]) == ("watch", "closed", 0, "fmr-0.001")


def test_status_tells_of_a_point_that_the_model_has_not(device: Device) -> None:
    """The installer runs `edge status` before it puts a release or a model to use."""
    config = device.home / "strict.toml"
    for policy in ("target_fmr = 1e-9", "subject_fmr = { ada = 1e-9 }"):
        config.write_text(f'[model]\npath = "{MODEL}"\n[policy]\n{policy}\n')
        told = device.run("status", "--config", config)
        assert (told.returncode, told.stdout, "error[model-unproven]" in told.stderr) == (5, "", True)


def test_a_terminal_shows_the_view_live_and_leaves_the_result(device: Device, clip: Clip) -> None:
    """In a pseudo-terminal: bars, the outline of the face and the counts during the enrolment, then only the result."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 100))
    words = [sys.executable, "-m", "edge", "enroll", "ada", "--camera", str(clip(ADA, 1))]
    words += ["--config", str(device.home / "edge.toml"), "--model", str(MODEL)]
    environment = os.environ | {
        "STATE_DIRECTORY": str(device.state),
        "TERM": "xterm",
        "PYTHONUTF8": "1",
        "LINES": "",
        "COLUMNS": "",
    }
    with subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs) as running:
        os.close(theirs)
        shown = b""
        # On Linux, reading raises an error once nobody has the other end of the terminal open.
        with suppress(OSError):
            while part := os.read(ours, 65536):
                shown += part
        assert running.stdout is not None
        told = running.stdout.read().decode()
        assert running.wait(60) == 0, shown[-2000:]
    os.close(ours)
    text = shown.decode()
    for words_shown in ("looking for frames: straight", "brightness", "45 to 220", "face size", "●", "━", "✓", "left 0"):
        assert words_shown in text, words_shown
    assert told.startswith("enrolled ada with 8 templates (straight ")
    # The view is erased line by line.
    assert text.rstrip().endswith("\x1b[2K")
    assert b"looking for frames" not in told.encode()


@pytest.mark.parametrize(
    ("typed", "options", "code"), [(b"y\n", [], 0), (b"n\n", [], 8), (b"\n", [], 8), (b"\x04", [], 8), (b"", ["--consent"], 0)]
)
def test_in_a_terminal_nobody_is_looked_at_who_does_not_agree(
    device: Device, clip: Clip, typed: bytes, options: list[str], code: int
) -> None:
    """The answer waits in the terminal before the question comes. A no must not open the camera, so its camera does not exist."""
    ours, theirs = pty.openpty()
    source = clip(ADA, 1) if code == 0 else "/dev/none-there"
    words = [sys.executable, "-m", "edge", "enroll", "ada", "--camera", str(source), "--json", *options]
    words += ["--config", str(device.home / "edge.toml"), "--model", str(MODEL)]
    environment = os.environ | {"STATE_DIRECTORY": str(device.state), "TERM": "dumb", "PYTHONUTF8": "1"}
    os.write(ours, typed)
    with subprocess.Popen(words, env=environment, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs) as running:
        os.close(theirs)
        shown = b""
        with suppress(OSError):
            while part := os.read(ours, 65536):
                shown += part
        assert running.stdout is not None
        told = running.stdout.read().decode()
        assert running.wait(60) == code, shown
    os.close(ours)
    text = shown.decode()
    assert "No picture is kept" in text
    assert str(device.state / "gallery") in text
    assert ("Does ada agree?" in text) is not bool(options)
    if code:
        assert "did not agree" in text
        assert told == ""
    else:
        assert json.loads(told)["subject"] == "ada"
    assert device.names() == ([] if code else ["ada"])


def test_without_a_terminal_what_is_kept_is_told_and_nobody_waited_for(device: Device, clip: Clip) -> None:
    done = device.run("enroll", "ada", "--camera", clip(ADA, 1), "--json")
    assert done.returncode == 0
    assert done.stderr.startswith("Before ada is enrolled:")
    assert "edge remove ada" in done.stderr
    assert "agree?" not in done.stderr
    told = json.loads(done.stdout)
    assert "picture" not in done.stdout
    checked = told["checked"]
    assert (told["recognised"], told["fnmr"]) == (checked, 0.0)
    # At the upper bound p, n frames without a miss have a probability of 1 in 40: (1 - p) ** n = 0.025.
    highest = 1 - 0.025 ** (1 / checked)
    assert told["fnmr_interval"] == [0.0, round(highest, 4)]
    assert "other frames of this session" in told["check"]
    assert f"FNMR 0%, 95 % 0%-{highest:.0%}" in told["check"]


def test_a_verification_is_of_that_subject(device: Device, clip: Clip) -> None:
    for name, person in (("ada", ADA), ("bob", BOB)):
        assert device.run("enroll", name, "--camera", clip(person, 1)).returncode == 0
    found = device.run("verify", "ada", "--camera", clip(BOB, 2), "--json")
    assert found.returncode == 1
    assert json.loads(found.stdout)["reason"] in ("wrong-subject", "no-match")


def test_the_daemon_tells_every_decision(device: Device, clip: Clip) -> None:
    assert device.run("enroll", "ada", "--camera", clip(ADA, 1)).returncode == 0
    shown = {}
    for person in (ADA, EVE):
        done = device.run("run", "--json", "--camera", clip(person, 2))
        assert done.returncode == 0, done.stderr
        shown[person] = [json.loads(line) for line in done.stdout.splitlines()]
        assert [e["event"] for e in shown[person]][:4] == ["started", "gallery-loaded", "camera-starting", "camera-running"]
        assert [e["event"] for e in shown[person]][-2:] == ["camera-closed", "stopped"]
    accepts = [event for event in shown[ADA] if event["event"] == "accept"]
    assert accepts
    assert {event["subject"] for event in accepts} == {"ada"}
    told = {event["event"] for event in shown[EVE]}
    assert "deny" in told
    assert "accept" not in told


def test_the_daemon_waits_for_a_camera_and_ends_on_sigterm(device: Device) -> None:
    command = [sys.executable, "-m", "edge", "run", "--json", "--camera", "/dev/video987", "--model", str(MODEL)]
    environment = os.environ | {"STATE_DIRECTORY": str(device.state)}
    daemon = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    events = []
    assert daemon.stdout is not None
    for line in daemon.stdout:
        events.append(json.loads(line))
        if events[-1]["event"] == "camera-lost":
            daemon.send_signal(signal.SIGHUP)
            time.sleep(0.5)
            daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(20) == 0
    told = [event["event"] for event in events]
    assert told == ["started", "gallery-loaded", "camera-starting", "camera-lost", "gallery-loaded", "stopped"]


def test_a_broken_template_that_appears_is_refused_by_a_running_daemon(device: Device, tmp_path: Path) -> None:
    """SIGHUP is not needed: the daemon checks the gallery every second, even while it waits for a camera."""
    (device.state / "gallery").mkdir()
    command = [sys.executable, "-m", "edge", "run", "--json", "--camera", "/dev/video987", "--model", str(MODEL)]
    environment = os.environ | {"STATE_DIRECTORY": str(device.state)}
    daemon = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert daemon.stdout is not None
    loaded = 0
    for line in daemon.stdout:
        loaded += json.loads(line)["event"] in ("gallery-loaded", "gallery-refused")
        if loaded == 1:
            (device.state / "gallery" / "ada.faces").write_bytes(b"rubbish")
        if loaded == 3:
            break
    daemon.terminate()
    assert daemon.wait(20) == 0
    assert loaded == 3  # empty at the start; then ada's file is refused and the rest, nobody, is loaded


def broken_models(folder: Path) -> dict[str, Path]:
    data = MODEL.read_bytes()
    made = {"empty": b"", "truncated": data[:-1000], "flipped": data[:5000] + b"\x01" + data[5001:], "text": b"hello"}
    for name, content in made.items():
        (folder / f"{name}.tflite").write_bytes(content)
    return {name: folder / f"{name}.tflite" for name in made} | {"folder": folder, "missing": folder / "none.tflite"}


@pytest.mark.parametrize("kind", ["empty", "truncated", "flipped", "text", "folder", "missing"])
@pytest.mark.parametrize("command", [("enroll", "ada"), ("verify",), ("run",)])
def test_a_bad_model_opens_nothing(device: Device, tmp_path: Path, command: tuple[str, ...], kind: str) -> None:
    path = broken_models(tmp_path)[kind]
    done = device.run(*command, "--camera", tmp_path, "--model", path)
    assert done.returncode == 5
    assert done.stderr.startswith("error[model")
    assert str(path) in done.stderr
    assert "Traceback" not in done.stderr
    assert device.names() == []


@pytest.mark.parametrize("source", ["none.avi", "empty.avi", "text.avi", "cut.avi", "folder", "/dev/video987"])
def test_a_bad_camera_opens_nothing(device: Device, clip: Clip, tmp_path: Path, source: str) -> None:
    (tmp_path / "empty.avi").write_bytes(b"")
    (tmp_path / "text.avi").write_text("no video")
    (tmp_path / "cut.avi").write_bytes(clip(ADA, 1).read_bytes()[:300])
    (tmp_path / "folder").mkdir()
    for command in (("enroll", "ada"), ("verify",)):
        done = device.run(*command, "--camera", tmp_path / source)
        enrolled_nobody = command == ("verify",)
        assert done.returncode in ((7, 1) if enrolled_nobody else (7, 8)), done.stderr
        assert "Traceback" not in done.stderr
        if done.returncode == 7:
            assert source in done.stderr
    assert device.names() == []


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("enroll", "../x"), 3, "error[name]: name '../x': use a-z"),
        (("enroll", "Ada"), 3, "error[name]"),
        (("remove", "../x"), 3, "error[name]"),
        (("remove", "nobody"), 3, "error[input]: nobody: not enrolled"),
        (("verify", "nobody"), 3, "error[input]: nobody: not enrolled"),
        (("verify", "a/b"), 3, "error[name]"),
        (("model", "show", "/none.tflite"), 5, "/none.tflite"),
        (("config", "show", "--config", "/none.toml"), 4, "/none.toml: no such file"),
        (("verify", "--config", "/none.toml"), 4, "error[settings]"),
        (("enroll",), 2, "name"),
        (("verify", "--sideways"), 2, "--sideways"),
    ],
)
def test_bad_words_are_named(device: Device, words: tuple[str, ...], code: int, told: str) -> None:
    done = device.run(*words)
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_enrolling_twice_needs_a_word(device: Device, clip: Clip) -> None:
    assert device.run("enroll", "ada", "--camera", clip(ADA, 1)).returncode == 0
    before = (device.state / "gallery" / "ada.faces").read_bytes()
    again = device.run("enroll", "ada", "--camera", clip(ADA, 1))
    assert (again.returncode, "--replace" in again.stderr) == (3, True)
    assert (device.state / "gallery" / "ada.faces").read_bytes() == before
    assert device.run("enroll", "ada", "--camera", clip(ADA, 2), "--replace").returncode == 0


def test_a_picture_of_nothing_enrols_nobody(device: Device, tmp_path: Path) -> None:
    import cv2
    import numpy as np

    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(20):
        cv2.imwrite(str(folder / f"{number:02d}.png"), np.full((240, 320, 3), 100, np.uint8))
    done = device.run("enroll", "ada", "--camera", folder)
    assert (done.returncode, "no face seen" in done.stderr, device.names()) == (8, True, [])


def test_a_damaged_gallery_denies_and_is_told(device: Device, clip: Clip) -> None:
    assert device.run("enroll", "ada", "--camera", clip(ADA, 1)).returncode == 0
    path = device.state / "gallery" / "ada.faces"
    path.write_bytes(path.read_bytes()[:-7])
    denied = device.run("verify", "--camera", clip(ADA, 2))
    assert (denied.returncode, "damaged" in denied.stderr) == (1, True)
    named = device.run("verify", "ada", "--camera", clip(ADA, 2))
    assert (named.returncode, "damaged" in named.stderr) == (6, True)
    listed = device.run("list", "--json")
    assert (listed.returncode, "damaged" in listed.stdout) == (0, True)


def test_templates_of_another_model_are_refused(device: Device, clip: Clip, tmp_path: Path) -> None:
    import numpy as np

    from edge.gallery import Gallery, new_subject

    Gallery(device.state).write(new_subject("ada", "f" * 64, np.ones((3, 128), np.float32)), replace=False)
    named = device.run("verify", "ada", "--camera", clip(ADA, 1))
    assert (named.returncode, "enrol ada again" in named.stderr) == (6, True)
    anyone = device.run("verify", "--camera", clip(ADA, 1))
    assert (anyone.returncode, "empty-gallery" in anyone.stdout) == (1, True)


def test_what_another_user_may_not_read_is_told(device: Device, clip: Clip) -> None:
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv to become someone else")
    assert device.run("enroll", "ada", "--camera", clip(ADA, 1)).returncode == 0
    someone = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    reachable = device.run("config", "show", prefix=someone)
    if reachable.returncode:
        pytest.skip(f"another user cannot run this Python: {reachable.stderr.strip().splitlines()[-1:]}")
    done = device.run("list", prefix=someone)
    assert done.returncode in (0, 9)
    assert "ada" not in done.stdout.replace(str(device.state), "")


def test_help_has_an_example_for_every_command(device: Device) -> None:
    for words in (("enroll",), ("list",), ("remove",), ("verify",), ("run",), ("model", "show"), ("config", "show")):
        done = device.run(*words, "--help")
        assert done.returncode == 0
        assert "example: edge" in done.stdout.replace("\n", " "), words


def test_the_model_shows_its_rates_with_counts(device: Device) -> None:
    shown = device.run("model", "show", MODEL)
    assert shown.returncode == 0
    assert "fmr-0.001" in shown.stdout
    assert "178200" in shown.stdout
    assert "as if each were independent" in " ".join(shown.stdout.split())


def test_nothing_of_the_device_needs_tensorflow(tmp_path: Path) -> None:
    """Every module of `edge` can be imported while TensorFlow, Keras, SciPy, Matplotlib and systemd cannot."""
    code = (
        "import sys, pkgutil, importlib\n"
        "for name in ('tensorflow', 'keras', 'scipy', 'matplotlib', 'systemd'): sys.modules[name] = None\n"
        "import edge\n"
        "names = [m.name for m in pkgutil.walk_packages(edge.__path__, 'edge.') if m.name != 'edge.__main__']\n"
        "[importlib.import_module(name) for name in names]\n"
        "print(len(names))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 20


@pytest.mark.parametrize(("raised", "code"), [("RuntimeError('boom')", 70), ("KeyboardInterrupt()", 130)])
def test_a_crash_is_not_taken_for_a_denial(tmp_path: Path, raised: str, code: int) -> None:
    broken = f"import edge.cli.judging as module\ndef boom(*_):\n    raise {raised}\nmodule.station_of = boom\n"
    broken += "import facelatch\nfacelatch.edge_main()"
    words = [sys.executable, "-c", broken, "verify", "--camera", "x", "--model", str(MODEL)]
    done = subprocess.run(
        words, env=os.environ | {"STATE_DIRECTORY": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert ("error[internal]" in done.stderr) == (code == 70)


def test_the_umbrella_command_names_its_parts() -> None:
    for words, code, told in (
        (["--help"], 0, "facelatch edge"),
        (["shout"], 2, "no such command"),
        (["edge", "list", "--help"], 0, "example"),
    ):
        done = subprocess.run([sys.executable, "-m", "facelatch", *words], capture_output=True, text=True, check=False)
        assert (done.returncode, told in done.stdout + done.stderr) == (code, True)


def test_failures_outlive_the_process_until_an_administrator_forgives_them(device: Device, clip: Clip) -> None:
    assert device.run("enroll", "ada", "--camera", clip(ADA, 1)).returncode == 0
    for _ in range(5):
        assert device.run("verify", "ada", "--camera", clip(EVE, 1)).returncode == 1
    locked = device.run("verify", "ada", "--camera", clip(ADA, 2), "--json")
    assert locked.returncode == 1
    assert json.loads(locked.stdout)["reason"] == "locked-out"
    # A verification without a name has a failure count of its own.
    assert device.run("verify", "--camera", clip(ADA, 2)).returncode == 0
    assert "forgiven: ada" in device.run("unlock-out", "ada").stdout
    assert device.run("verify", "ada", "--camera", clip(ADA, 2)).returncode == 0
    assert "no failures to forgive" in device.run("unlock-out", "--all").stdout


def test_a_damaged_count_denies_until_it_is_begun_anew(device: Device, clip: Clip) -> None:
    assert device.run("enroll", "ada", "--camera", clip(ADA, 1)).returncode == 0
    (device.state / "lockout.json").write_text("{")
    broken = device.run("verify", "ada", "--camera", clip(ADA, 2))
    assert broken.returncode == 9
    assert "unlock-out --all" in broken.stderr
    daemon = device.run("run", "--camera", clip(ADA, 2), "--json")
    events = [json.loads(line) for line in daemon.stdout.splitlines()]
    assert [event["event"] for event in events if event["event"] in ("lock-out-broken", "accept", "deny")] == [
        "lock-out-broken"
    ]
    assert device.run("unlock-out", "--all").returncode == 0
    assert device.run("verify", "ada", "--camera", clip(ADA, 2)).returncode == 0


@pytest.mark.parametrize(
    ("argv", "event"),
    [(["/bin/sh", "-c", "echo $FACELATCH_SUBJECT >> {out}"], "action-done"), (["/bin/false"], "action-failed")],
)
def test_a_grant_sets_off_its_action_and_outlives_it(device: Device, clip: Clip, argv: list[str], event: str) -> None:
    out = device.home / "opened"
    words = json.dumps([word.format(out=out) for word in argv])
    with (device.home / "edge.toml").open("a") as file:
        file.write(f'[action]\nkind = "command"\nargv = {words}\n')
    assert device.run("enroll", "ada", "--camera", clip(ADA, 1)).returncode == 0
    daemon = device.run("run", "--camera", clip(ADA, 2), "--json")
    assert daemon.returncode == 0
    events = [json.loads(line)["event"] for line in daemon.stdout.splitlines()]
    assert events.count("accept") >= 1
    assert event in events
    assert events[-1] == "stopped"
    if event == "action-done":
        assert set(out.read_text().split()) == {"ada"}


def test_a_grant_while_an_action_is_going_on_is_told(device: Device, clip: Clip) -> None:
    with (device.home / "edge.toml").open("a") as file:
        file.write('[action]\nkind = "command"\nargv = ["/bin/sleep", "600"]\ntimeout_s = 60.0\n')
    assert device.run("enroll", "ada", "--camera", clip(ADA, 1)).returncode == 0
    daemon = device.run("run", "--camera", clip(ADA, 2), "--json")
    events = [json.loads(line) for line in daemon.stdout.splitlines()]
    skipped = [event for event in events if event["event"] == "action-skipped"]
    assert skipped
    assert {(event["subject"], event["action"]) for event in skipped} == {("ada", "command")}
    assert [event["event"] for event in events[-2:]] == ["action-failed", "stopped"]
    assert "when the daemon stopped" in events[-2]["message"]


def test_the_policys_rates_are_shown_with_the_settings(device: Device) -> None:
    text = device.run("config", "show").stdout
    assert "# FAR of one attempt" in text
    assert json.loads(device.run("config", "show", "--json").stdout)["expected"]["FRR of one attempt"]


def test_another_look_is_added_to_the_same_person_alone(device: Device, clip: Clip) -> None:
    missing = device.run("enroll", "ada", "--add", "--camera", clip(ADA, 1))
    assert missing.returncode == 3
    assert "ada: not enrolled" in missing.stderr
    assert device.run("enroll", "ada", "--from", clip(ADA, 1)).returncode == 0
    assert device.run("enroll", "bob", "--from", clip(BOB, 1), "--camera", "0").returncode == 3
    more = json.loads(device.run("enroll", "ada", "--add", "--camera", clip(ADA, 2), "--json").stdout)
    assert more["templates"] == 16
    stranger = device.run("enroll", "ada", "--add", "--camera", clip(EVE, 1))
    assert stranger.returncode == 8
    assert "nothing was added" in stranger.stderr
    assert json.loads(device.run("list", "--json").stdout)["subjects"][0]["templates"] == 16


def test_a_person_gets_what_is_kept_and_is_taken_out(device: Device, clip: Clip) -> None:
    assert device.run("enroll", "ada", "--camera", clip(ADA, 1)).returncode == 0
    out = device.home / "ada.json"
    assert device.run("takeout", "ada", "--out", out).returncode == 0
    told = json.loads(out.read_text())
    assert out.stat().st_mode & 0o777 == 0o600
    assert len(told["templates"]) == 8
    assert told["failures_since_the_last_accept"] == 0
    again = device.run("takeout", "ada", "--out", out)
    assert again.returncode == 9
    assert "not there yet" in again.stderr
    done = device.run("remove", "ada", "--purge")
    assert done.returncode == 0
    assert "FACELATCH_SUBJECT=ada" in done.stdout
    assert device.names() == []


def test_a_new_model_says_who_must_come_again(device: Device, clip: Clip) -> None:
    assert device.run("enroll", "ada", "--camera", clip(ADA, 1)).returncode == 0
    words = ("--config", device.home / "edge.toml", "--json")
    same = device.run("migrate", "--model", MODEL, *words)
    assert same.returncode == 0
    assert json.loads(same.stdout)["ready"] == ["ada"]
    other = device.run("migrate", "--model", "accurate", *words)
    assert other.returncode == 6
    assert "enrol ada again" in json.loads(other.stdout)["again"][0]
    assert device.names() == ["ada"]


def test_bench_measures_every_stage_and_grants_nothing(device: Device, clip: Clip) -> None:
    assert device.run("enroll", "ada", "--camera", clip(ADA, 1)).returncode == 0
    words = ("--config", device.home / "edge.toml", "--model", MODEL, "--camera", clip(ADA, 2))
    costs = json.loads(device.run("bench", *words, "--frames", "40", "--json").stdout)
    assert costs["frames"] == 40
    assert [stage["name"] for stage in costs["stages"]] == ["search", "chip and quality", "pose", "embed", "match"]
    assert all(0 < stage["p50_ms"] <= stage["p95_ms"] for stage in costs["stages"])
    assert sum(costs["outcomes"].values()) == sum(costs["searched"].values()) == 40
    assert costs["searched"]["near"] > costs["searched"]["whole"]
    text = device.run("bench", *words, "--frames", "10")
    assert text.returncode == 0
    assert "a frame" in text.stdout
    assert not (device.state / "lockout.json").exists()


def test_bench_says_what_to_change(device: Device, tmp_path: Path) -> None:
    (tmp_path / "dark").mkdir()
    for number in range(12):
        cv2.imwrite(str(tmp_path / f"dark/{number:02}.png"), np.full((240, 320, 3), 8, np.uint8))
    done = device.run("bench", "--config", device.home / "edge.toml", "--model", MODEL, "--camera", tmp_path / "dark", "--json")
    assert "most of them too-dark" in json.loads(done.stdout)["advice"][-1]
    few = device.run("bench", "--config", device.home / "edge.toml", "--model", MODEL, "--camera", tmp_path / "none")
    assert few.returncode == 7
