"""Gallery, rights, lock-out and disk of real state folders."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edge.contract.modelfile import ModelFile
from edge.doctor import Machine, state
from edge.gallery import Gallery, new_subject
from edge.keys import Keys, write_new_key
from edge.lockout import ANYONE, Lockout
from edge.settings import GallerySettings, PolicySettings

Make = Callable[..., Machine]


def enrol(folder: Path, name: str, model_id: str, size: int) -> None:
    Gallery(folder).write(new_subject(name, model_id, np.ones((5, size), np.float32)), replace=False)


@pytest.fixture
def kept(tmp_path: Path, model: ModelFile) -> Path:
    folder = tmp_path / "state"
    for name in ("ada", "bob"):
        enrol(folder, name, model.model_id, model.head.size)
    return folder


def test_everyone_can_be_recognised(kept: Path, model: ModelFile, machine: Make) -> None:
    found = state.gallery(kept, model, machine())
    assert (found.verdict, found.message) == ("pass", "2 of 2 subjects can be recognised, 10 templates")


def test_damage_and_another_model_are_told_apart_and_without_names(kept: Path, model: ModelFile, machine: Make) -> None:
    enrol(kept, "cy", "f" * 64, model.head.size)
    foreign = state.gallery(kept, model, machine())
    assert (foreign.verdict, "2 of 3 subjects can be recognised; 1 were enrolled with another model" in foreign.message) == (
        "fail",
        True,
    )
    path = kept / "gallery/ada.faces"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    damaged = state.gallery(kept, model, machine())
    assert (damaged.verdict, "1 damaged, 0 cannot be read" in damaged.message) == ("fail", True)
    assert "ada" in damaged.shown()["found"]
    assert "ada" not in str(damaged.shared())


def test_nobody_enrolled_is_a_thing_to_do(tmp_path: Path, model: ModelFile, machine: Make) -> None:
    found = state.gallery(tmp_path, model, machine())
    assert (found.verdict, found.mend) == ("warn", "edge enroll NAME")


def test_without_a_model_nobody_can_be_matched(kept: Path, machine: Make) -> None:
    assert state.gallery(kept, None, machine()).verdict == "warn"


def test_another_users_own_folder_is_not_the_services(kept: Path, model: ModelFile, machine: Make) -> None:
    pi = machine({"var/lib/facelatch/x": ""}, is_root=False)
    assert "not the service's gallery" in state.gallery(kept, model, pi).message


def test_rights_are_the_owners_alone(kept: Path, machine: Make) -> None:
    assert state.rights(kept, machine()).verdict == "pass"
    for path, mode in ((kept / "gallery", 0o750), (kept / "gallery/ada.faces", 0o604), (kept, 0o770)):
        before = path.stat().st_mode
        path.chmod(mode)
        found = state.rights(kept, machine())
        assert (found.verdict, "1 of 4" in found.message, "ada" in str(found.shared())) == ("fail", True, False), path
        path.chmod(before)
    # The file that a killed enrolment left behind contains templates, too.
    (kept / "gallery/.ada.faces.new").write_bytes(b"")
    (kept / "gallery/.ada.faces.new").chmod(0o644)
    assert "1 of 5" in state.rights(kept, machine()).message


def test_the_services_own_folder_is_closed_to_all_others(kept: Path, machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    pi = machine({"etc/passwd": f"facelatch:x:{os.getuid()}:1::/:/x\n"})
    kept.chmod(0o755)
    assert state.rights(kept, pi).verdict == "pass"  # a user's own folder, not the service's
    monkeypatch.setattr(state, "SERVICE_STATE", kept)
    for mode, verdict in ((0o755, "fail"), (0o710, "fail"), (0o701, "fail"), (0o700, "pass")):
        kept.chmod(mode)
        assert state.rights(kept, pi).verdict == verdict, oct(mode)


def test_an_owner_that_is_not_the_service_is_told(kept: Path, machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "SERVICE_STATE", kept)
    kept.chmod(0o700)
    assert state.rights(kept, machine()).message == "there is no user facelatch"
    ours = machine({"etc/passwd": f"facelatch:x:{os.getuid()}:1::/:/x\n"})
    assert state.rights(kept, ours).verdict == "pass"
    theirs = machine({"etc/passwd": f"facelatch:x:{os.getuid() + 1}:1::/:/x\n"})
    assert "4 of 4 files and folders of {folder} are not the service's own" in state.rights(kept, theirs).message


def test_no_folder_yet(tmp_path: Path, machine: Make) -> None:
    assert state.rights(tmp_path / "none", machine()).verdict == "pass"


def fail(folder: Path, key: str, times: int) -> None:
    for _ in range(times):
        Lockout(folder).fail(key, PolicySettings())


def test_counts_that_cannot_be_read_let_nobody_be_judged(tmp_path: Path) -> None:
    assert state.lockout(tmp_path, 7).verdict == "pass"
    fail(tmp_path, "ada", 3)
    assert state.lockout(tmp_path, 7).message == "3 failures counted since the last accepts"
    fail(tmp_path, ANYONE, 7)
    disabled = state.lockout(tmp_path, 7)
    assert (disabled.verdict, "whoever stands there" in disabled.shown()["found"]) == ("warn", True)
    fail(tmp_path, "ada", 4)
    assert "2 disabled after 7 failures: <names>" in state.lockout(tmp_path, 7).shared()["found"]
    (tmp_path / "lockout.json").write_text("{")
    broken = state.lockout(tmp_path, 7)
    assert (broken.verdict, str(tmp_path) in str(broken.shared())) == ("fail", False)


MIB = 1 << 20


@pytest.mark.parametrize(
    ("free", "inodes", "flags", "kind", "verdict", "told"),
    [
        (900 * MIB, 9, 0, "ext4", "pass", "900 MiB free for the state folder, on ext4"),
        (100 * MIB, 9, 0, "ext4", "warn", "100 MiB"),
        (10 * MIB, 9, 0, "ext4", "fail", "nobody is judged"),
        (900 * MIB, 0, 0, "ext4", "fail", "nobody is judged"),
        (900 * MIB, 9, os.ST_RDONLY, "ext4", "fail", "read-only"),
        (900 * MIB, 9, 0, "overlay", "warn", "gone after a reboot"),
        (900 * MIB, 9, 0, "tmpfs", "warn", "gone after a reboot"),
    ],
)
def test_room_and_staying_power(
    tmp_path: Path, machine: Make, free: int, inodes: int, flags: int, kind: str, verdict: str, told: str
) -> None:
    pi = machine(
        {"proc/self/mounts": f"x / squashfs ro 0 0\ny {tmp_path} btrfs rw 0 0\nz {tmp_path} {kind} rw 0 0\nw /else x rw\n"}
    )
    answer = SimpleNamespace(f_bavail=free // 4096, f_frsize=4096, f_favail=inodes, f_files=9, f_flag=flags)
    found = state.disk(tmp_path / "not/yet", pi, lambda _: answer)
    assert (found.verdict, told in found.message) == (verdict, True), found.message


def test_a_file_in_the_place_of_a_folder_is_no_defect_of_ours(tmp_path: Path, model: ModelFile, machine: Make) -> None:
    (tmp_path / "gallery").write_text("")
    (tmp_path / "gallery").chmod(0o600)
    found = state.gallery(tmp_path, model, machine())
    assert (found.verdict, "cannot be read, so nobody is recognised: Not a dir" in found.shown()["found"]) == ("fail", True)
    found = state.rights(tmp_path / "gallery", machine())
    assert (found.verdict, "cannot be read: Not a directory" in found.shown()["found"]) == ("fail", True)


def test_a_package_that_encrypted_templates_need_is_told(
    kept: Path, model: ModelFile, machine: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_new_key(kept / "key", kept)
    how = GallerySettings.model_validate({"encrypt": "file", "key_file": str(kept / "key")})
    Gallery(kept, Keys(how, kept)).rewrite("ada")
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    found = state.gallery(kept, model, machine(), how)
    assert (found.verdict, "python3-cryptography" in found.message) == ("fail", True)
