"""Giving memory back: which mappings may be dropped, and that the process goes on unharmed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.memory import held_mb
from edge import memory
from edge.memory import Mapping, unwritten

SMAPS = """\
7f0000000000-7f0000001000 r--p 00000000 fe:00 11                         /usr/lib/libone.so
Rss:                   4 kB
Anonymous:             0 kB
AnonHugePages:         0 kB
Swap:                  0 kB
VmFlags: rd mr mw me sd
7f0000001000-7f0000003000 r-xp 00001000 fe:00 11                         /usr/lib/a library with spaces.so
Anonymous:             0 kB
Swap:                  0 kB
7f0000003000-7f0000004000 r--p 00003000 fe:00 11                         /usr/lib/relocated.so
Anonymous:             4 kB
Swap:                  0 kB
7f0000004000-7f0000005000 r--p 00003000 fe:00 11                         /usr/lib/relocated-and-swapped.so
Anonymous:             0 kB
Swap:                  4 kB
7f0000005000-7f0000006000 rw-p 00004000 fe:00 11                         /usr/lib/data.so
Anonymous:             0 kB
Swap:                  0 kB
7f0000006000-7f0000007000 r-xs 00000000 00:01 12                         /memfd:shared (deleted)
Anonymous:             0 kB
Swap:                  0 kB
7f0000007000-7f0000008000 r--p 00000000 00:00 0
Anonymous:             0 kB
Swap:                  0 kB
7f0000008000-7f0000009000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
Swap:                  0 kB
7f0000009000-7f000000a000 r-xp 00000000 fe:00 13                         /usr/lib/old-kernel.so
Rss:                   4 kB
"""


def test_only_pages_that_are_the_files_own_are_dropped() -> None:
    assert list(unwritten(SMAPS)) == [Mapping(0x7F0000000000, 0x7F0000001000), Mapping(0x7F0000001000, 0x7F0000003000)]
    assert list(unwritten("")) == []


def test_a_process_goes_on_after_it_gave_back() -> None:
    """In a process of its own with the daemon's libraries: arithmetic and picture operations give the same results, and imports work."""
    code = (
        "import cv2, numpy as np\nfrom edge.memory import give_back\n"
        "a = np.arange(10000, dtype=np.float32).reshape(100, 100)\n"
        "def work():\n    return (a @ a).sum(), cv2.resize(a, (33, 33)).sum()\n"
        "before = work()\ngive_back()\nimport decimal, sqlite3\nprint(before == work())\ngive_back()\nprint(before == work())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "True\nTrue\n"), done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_this_process_has_something_to_drop() -> None:
    assert list(unwritten(memory.SMAPS.read_text()))


def test_nothing_happens_without_glibc_or_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "SMAPS", tmp_path / "absent")
    memory.give_back()
    dropped: list[object] = []
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    monkeypatch.setattr(memory, "_drop_files", dropped.append)
    memory.give_back()
    assert dropped == []


def test_the_sums_of_a_rollup() -> None:
    """2048 kB, of which 512 kB are anonymous: 2.0 MB resident, 0.5 anonymous and 1.5 of files."""
    rollup = "0-f ---p 0 0:0 0 [rollup]\nRss: 2048 kB\nPss: 1024 kB\nAnonymous: 512 kB\n"
    assert held_mb(rollup) == {"resident": 2.0, "anonymous": 0.5, "files": 1.5, "proportional": 1.0}
