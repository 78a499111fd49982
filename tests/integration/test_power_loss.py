"""Enrolment, failure count and encryption, killed at every step of writing, and a full disk: either the old or the new data is kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.contract.modelfile import ModelFile
from edge.gallery import Gallery, new_subject
from edge.keys import Keys, write_new_key
from edge.lockout import Lockout
from edge.settings import GallerySettings, PolicySettings
from tests.conftest import ADA, MODEL, Device

# Counts the calls that change the disk in the code that follows. At call number KILL_AT the process kills itself: before the call or,
# for a write, after half of the bytes.
KILLED = """
import builtins, os, signal, sys, io
left = int(os.environ["KILL_AT"])
gallery = os.environ["STATE_DIRECTORY"]
calls = 0
def step():
    global calls
    calls += 1
    if calls == left:
        os.kill(os.getpid(), signal.SIGKILL)
def counted(function):
    def call(*args, **kwargs):
        step()
        return function(*args, **kwargs)
    return call
for name in ("mkdir", "fsync", "replace", "rename", "fchown", "unlink"):
    setattr(os, name, counted(getattr(os, name)))
real_fdopen, real_open = os.fdopen, os.open
def opened(path, *args, **kwargs):
    if gallery in str(path) or "dir_fd" in kwargs:
        step()
    return real_open(path, *args, **kwargs)
os.open = opened
class Halved:
    def __init__(self, file): self.file = file
    def write(self, data):
        global calls
        calls += 1
        if calls == left:
            self.file.write(data[: len(data) // 2]); self.file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.file.write(data)
    def __getattr__(self, name): return getattr(self.file, name)
    def __enter__(self): return self
    def __exit__(self, *args): self.file.close()
os.fdopen = lambda *args, **kwargs: Halved(real_fdopen(*args, **kwargs))
import atexit
atexit.register(lambda: print("CALLS", calls))
"""
COMMAND = "from facelatch import edge_main\nedge_main()\n"
FAILURE = """
from pathlib import Path
from edge.keys import Keys, write_new_key
from edge.lockout import Lockout
from edge.settings import GallerySettings, PolicySettings
Lockout(Path(gallery)).fail("ada", PolicySettings())
"""
ENCRYPTION = """
from pathlib import Path
from edge.gallery import Gallery
from edge.keys import Keys
from edge.settings import GallerySettings
how = GallerySettings.model_validate({"encrypt": "file", "key_file": gallery + "/key"})
Gallery(Path(gallery), Keys(how, Path(gallery))).rewrite("ada")
"""


def killed(device: Device, kill_at: int, code: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"STATE_DIRECTORY": str(device.state), "KILL_AT": str(kill_at)}
    command = [sys.executable, "-c", KILLED + code, *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def enroll(device: Device, name: str, clip: Path, kill_at: int, *more: str) -> subprocess.CompletedProcess[str]:
    words = ["enroll", name, "--camera", str(clip), "--config", str(device.home / "edge.toml"), "--model", str(MODEL), *more]
    return killed(device, kill_at, COMMAND, *words)


@pytest.mark.parametrize("replace", [False, True])
def test_a_kill_at_every_write_leaves_a_gallery_that_loads(
    device: Device, clip: Callable[[int, int], Path], model: ModelFile, replace: bool
) -> None:
    gallery = Gallery(device.state)
    old = np.ones((3, model.head.size), np.float32)
    gallery.write(new_subject("bob", model.model_id, old), replace=False)
    if replace:
        gallery.write(new_subject("ada", model.model_id, old), replace=False)
    more = ("--replace",) if replace else ()
    outcomes = []
    for kill_at in range(1, 100):
        done = enroll(device, "ada", clip(ADA, 1), kill_at, *more)
        subjects, refused = gallery.read_for(model.model_id, model.head.size)
        assert refused == []
        found = {subject.name: subject for subject in subjects}
        assert np.array_equal(found["bob"].templates, old)
        is_new = "ada" in found and len(found["ada"].templates) == 8
        assert is_new or ("ada" in found) == replace
        outcomes.append(is_new)
        if done.returncode == 0:
            break
        assert done.returncode == -9, done.stderr
        if is_new:  # killed after the rename: put the old state back for the next step
            gallery.remove("ada")
            if replace:
                gallery.write(new_subject("ada", model.model_id, old), replace=False)
    assert done.returncode == 0, done.stderr
    assert outcomes[-1]
    assert outcomes.count(False) >= 5  # it was killed at several places before the rename
    assert [path.name for path in gallery.folder.iterdir() if path.name.startswith(".")] == []


def test_a_kill_at_every_write_of_a_failure_loses_none_that_was_counted(device: Device) -> None:
    lockout = Lockout(device.state)
    for _ in range(3):
        lockout.fail("ada", PolicySettings())
    counted, outcomes = 3, []
    for kill_at in range(1, 100):
        done = killed(device, kill_at, FAILURE)
        now = lockout.everyone()["ada"]
        assert now in (counted, counted + 1)
        outcomes.append(now > counted)
        counted = now
        if done.returncode == 0:
            break
        assert done.returncode == -9, done.stderr
    assert done.returncode == 0, done.stderr
    assert outcomes[-1]
    assert outcomes.count(False) >= 5
    assert [path.name for path in device.state.iterdir() if path.name.startswith(".")] == []


def test_a_kill_at_every_write_of_an_encryption_leaves_templates_that_open(device: Device) -> None:
    write_new_key(device.state / "key", device.state)
    how = GallerySettings.model_validate({"encrypt": "file", "key_file": str(device.state / "key")})
    sealed, templates = Gallery(device.state, Keys(how, device.state)), np.ones((3, 8), np.float32)
    outcomes = []
    for kill_at in range(1, 100):
        Gallery(device.state).write(new_subject("ada", "m1", templates), replace=kill_at > 1)
        done = killed(device, kill_at, ENCRYPTION)
        assert np.array_equal(sealed.read("ada").templates, templates)
        outcomes.append(sealed.key_id("ada") is not None)
        if done.returncode == 0:
            break
        assert done.returncode == -9, done.stderr
    assert done.returncode == 0, done.stderr
    assert outcomes == sorted(outcomes)  # not encrypted up to some step, encrypted from then on
    assert outcomes.count(False) >= 5
    assert outcomes.count(True) >= 2  # killed before the old file was overwritten, and not killed


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("cannot mount a small tmpfs here; needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_keeps_the_gallery(
    small_disk: Path, tmp_path: Path, clip: Callable[[int, int], Path], model: ModelFile
) -> None:
    (tmp_path / "edge.toml").write_text("[detection]\nmin_face_px = 60\n")
    device = Device(tmp_path, small_disk)
    gallery = Gallery(small_disk)
    gallery.write(new_subject("bob", model.model_id, np.ones((3, model.head.size), np.float32)), replace=False)
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(bytes(1 << 20))
    full = device.run("enroll", "ada", "--camera", clip(ADA, 1))
    assert (full.returncode, "cannot write: No space left" in full.stderr) == (9, True), full.stderr
    assert gallery.names() == ["bob"]
    assert gallery.read("bob").model_id == model.model_id
    filler.unlink()
    assert device.run("enroll", "ada", "--camera", clip(ADA, 1)).returncode == 0
    assert gallery.names() == ["ada", "bob"]


def test_two_enrolments_at_once_both_arrive(device: Device, clip: Callable[[int, int], Path]) -> None:
    command = [sys.executable, "-m", "edge", "enroll", "--camera", str(clip(ADA, 1)), "--model", str(MODEL)]
    environment = os.environ | {"STATE_DIRECTORY": str(device.state)}
    config = ["--config", str(device.home / "edge.toml")]
    running = [
        subprocess.Popen([*command, name, *config], env=environment, stderr=subprocess.DEVNULL) for name in ("ada", "ida")
    ]
    assert {process.wait(60) for process in running} <= {0, 8}
    assert set(device.names()) & {"ada", "ida"}
    for name in device.names():
        Gallery(device.state).read(name)
