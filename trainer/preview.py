"""A window with the camera's picture, if there is a display. Uses Tk, because the headless build of OpenCV has no windows."""

from __future__ import annotations

import os
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

_GREEN = (0, 255, 0)


class Preview(Protocol):
    """Shows frames to the person being captured."""

    def show(self, frame: NDArray[np.uint8], text: str) -> bool:
        """Shows a frame, uint8 [h, w, 3] BGR, with a line of text; True once the person has pressed q or closed the window."""
        ...

    def close(self) -> None:
        """Closes the window."""
        ...


def open_preview() -> Preview | None:
    """A window, or None without a display or without Tk (Debian's package python3-tk)."""
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return None
    try:
        import tkinter
    except ImportError:
        return None
    try:
        return _Window(tkinter.Tk())
    except tkinter.TclError:
        return None  # a display is named, but does not respond


class _Window:
    def __init__(self, root: object) -> None:
        import tkinter

        self._tk, self._root, self._ended = tkinter, root, False
        root.title("facelatch capture: q ends")
        self._label = tkinter.Label(root)
        self._label.pack()
        root.bind("q", lambda _: self._end())
        root.protocol("WM_DELETE_WINDOW", self._end)

    def show(self, frame: NDArray[np.uint8], text: str) -> bool:
        drawn = cv2.putText(frame.copy(), text, (12, 32), cv2.FONT_HERSHEY_SIMPLEX, 0.9, _GREEN, 2)
        # Not mirrored, although people expect that of themselves: the text must be readable, and the frame is shown as it is saved.
        self._picture = self._tk.PhotoImage(master=self._root, data=cv2.imencode(".ppm", drawn)[1].tobytes())
        self._label.configure(image=self._picture)
        self._root.update()
        return self._ended

    def close(self) -> None:
        self._root.destroy()

    def _end(self) -> None:
        self._ended = True
