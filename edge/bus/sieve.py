"""Filters what the bus sends before it is parsed: a message longer than any caller needs loses its body. Knows only a message's frame.

The bus carries 32 MB from anybody to anybody, and the parser can turn four bytes into a hundred: one message could take more memory
than the service has, and block the camera while it is parsed. Without its body it is a call that no method answers.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

# More than logind's list of a thousand sessions of one user; what callers send is a name or a number.
MOST_BYTES = 65536
# A message's frame: endianness, type, flags, version; length of the body, serial, length of the header's fields, which are padded to a
# multiple of eight.
_FRAME_BYTES = 16


class Sieve:
    """A connected socket whose `recv` strips messages that are too long. All else is the socket's own."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._frame = bytearray()
        self._to_pass = self._to_drop = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def recv(self, size: int) -> bytes:
        """As `socket.recv`, but reads on if all that it got was dropped: empty bytes still mean the end of the stream."""
        while data := self._socket.recv(size):
            if sifted := self._sift(data):
                return sifted
        return b""

    def _sift(self, data: bytes) -> bytes:
        sifted = bytearray()
        while data:
            if self._to_pass:
                part, data = data[: self._to_pass], data[self._to_pass :]
                self._to_pass -= len(part)
                sifted += part
            elif self._to_drop:
                part, data = data[: self._to_drop], data[self._to_drop :]
                self._to_drop -= len(part)
            else:
                missing = _FRAME_BYTES - len(self._frame)
                self._frame += data[:missing]
                data = data[missing:]
                if len(self._frame) == _FRAME_BYTES:
                    sifted += self._frame_to_pass()
        return bytes(sifted)

    def _frame_to_pass(self) -> bytes:
        """The frame to pass on: as it came, or with a body length of 0, or nothing if even the header's fields are too long."""
        frame, self._frame = self._frame, bytearray()
        order = "<" if frame[0] == ord("l") else ">"
        body, _, fields = struct.unpack_from(f"{order}III", frame, 4)
        fields += -fields % 8
        if fields > MOST_BYTES:
            self._to_drop = fields + body
            return b""
        if body > MOST_BYTES:
            frame[4:8] = bytes(4)
            self._to_pass, self._to_drop = fields, body
        else:
            self._to_pass = fields + body
        return bytes(frame)
