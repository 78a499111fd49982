"""`edge enroll` killed at every step of its writing, and on a full disk: the gallery is the old one or the new one."""

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
from tests.conftest import ADA, MODEL, Device

# Runs the command with every call that changes the disk counted; at number KILL_AT the process kills itself, before the call,
# or, for a write, after half of the bytes.
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
    if gallery in str(path):
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
from facelatch import edge_main
edge_main()
"""


def enroll(device: Device, name: str, clip: Path, kill_at: int, *more: str) -> subprocess.CompletedProcess[str]:
    words = ["enroll", name, "--camera", str(clip), "--config", str(device.home / "edge.toml"), "--model", str(MODEL), *more]
    environment = os.environ | {"STATE_DIRECTORY": str(device.state), "KILL_AT": str(kill_at)}
    return subprocess.run([sys.executable, "-c", KILLED, *words], env=environment, capture_output=True, text=True, check=False)


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
    assert outcomes.count(False) >= 5  # it was killed before the rename at several places
    assert [path.name for path in gallery.folder.iterdir() if path.name.startswith(".")] == []


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
