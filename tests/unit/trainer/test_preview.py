"""The preview window of a capture, on a virtual display; without a display there is no window."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from trainer.preview import open_preview

SHOWN = """
import numpy as np
from trainer.preview import open_preview
window = open_preview()
assert window is not None
frame = np.full((48, 64, 3), (10, 200, 30), np.uint8)
assert window.show(frame, "anchor 1/2") is False
assert (window._picture.width(), window._picture.height()) == (64, 48)
assert window._picture.get(60, 44) == (30, 200, 10)
window._root.focus_force()
window._root.update()
window._root.event_generate("<KeyPress-q>")
assert window.show(frame, "") is True
window.close()
"""


def test_no_display_no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert open_preview() is None


def test_a_display_that_does_not_answer_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":987")
    assert open_preview() is None


def test_frames_are_shown_as_they_are_and_q_ends() -> None:
    pytest.importorskip("tkinter", reason="this Python has no Tk")
    if not shutil.which("xvfb-run"):
        pytest.skip("xvfb is not installed")
    words = ["xvfb-run", "-a", sys.executable, "-c", SHOWN]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
