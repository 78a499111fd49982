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
        self._passes = self._drops = 0

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
            if self._passes:
                part, data = data[: self._passes], data[self._passes :]
                self._passes -= len(part)
                sifted += part
            elif self._drops:
                part, data = data[: self._drops], data[self._drops :]
                self._drops -= len(part)
            else:
                missing = _FRAME_BYTES - len(self._frame)
                self._frame += data[:missing]
                data = data[missing:]
                if len(self._frame) == _FRAME_BYTES:
                    sifted += self._begun()
        return bytes(sifted)

    def _begun(self) -> bytes:
        """The frame to pass on: as it came, or with a body length of 0, or nothing if even the header's fields are too long."""
        frame, self._frame = self._frame, bytearray()
        order = "<" if frame[0] == ord("l") else ">"
        body, _, fields = struct.unpack_from(f"{order}III", frame, 4)
        fields += -fields % 8
        if fields > MOST_BYTES:
            self._drops = fields + body
            return b""
        if body > MOST_BYTES:
            frame[4:8] = bytes(4)
            self._passes, self._drops = fields, body
        else:
            self._passes = fields + body
        return bytes(frame)
