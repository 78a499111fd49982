"""Messages that are too long lose their body, however their bytes are split on the way."""

from __future__ import annotations

import socket
import struct

import pytest

pytest.importorskip("dbus_fast", reason="dbus_fast is not installed")
from dbus_fast import Message
from dbus_fast._private.unmarshaller import Unmarshaller

from edge.bus.sieve import MOST_BYTES, Sieve


def call(member: str, text: str, path: str = "/io/facelatch/Device/0") -> bytes:
    message = Message("io.facelatch", path, "io.facelatch.Device", member, signature="s", body=[text], serial=7)
    return bytes(message._marshall(False))


def turned(message: bytes) -> bytes:
    """The message with a big-endian frame. The header's fields stay as they are: nothing here reads them."""
    assert message[:1] == b"l"
    return b"B" + message[1:4] + struct.pack(">III", *struct.unpack_from("<III", message, 4)) + message[16:]


class Pieces:
    """A socket that returns at most `size` bytes at a time."""

    def __init__(self, sent: bytes, size: int) -> None:
        self._left, self._size = sent, size

    def recv(self, size: int) -> bytes:
        piece, self._left = self._left[: min(size, self._size)], self._left[min(size, self._size) :]
        return piece

    def fileno(self) -> int:
        return 42


def sifted(sent: bytes, size: int) -> bytes:
    sieve, heard = Sieve(Pieces(sent, size)), b""  # type: ignore[arg-type]
    while data := sieve.recv(4096):
        heard += data
    return heard


@pytest.mark.parametrize("size", [1, 3, 16, 4096])
def test_what_is_short_enough_comes_as_it_was_sent(size: int) -> None:
    """Fields are padded to a multiple of eight: after the member's name, by zero to seven bytes."""
    short = b"".join(call("Claim" + "m" * more, "a" * more) for more in range(9))
    assert sifted(short, size) == short
    assert sifted(turned(call("Claim", "ada")), size) == turned(call("Claim", "ada"))


@pytest.mark.parametrize("size", [5, 4096])
def test_of_what_is_too_long_the_body_is_left_out(size: int) -> None:
    long, after = call("Claim", "a" * MOST_BYTES), call("Release", "")
    heard = sifted(long + after, size)
    assert heard.endswith(after)
    assert len(heard) < MOST_BYTES
    here, there = socket.socketpair()
    with here, there:
        there.sendall(heard)
        reader = Unmarshaller(None, here, negotiate_unix_fd=False)
        first, second = reader.unmarshall(), reader.unmarshall()
    assert first is not None
    assert second is not None
    assert (first.member, first.signature, first.body, first.serial) == ("Claim", "", [], 7)
    assert (second.member, second.body) == ("Release", [""])
    assert sifted(turned(long) + after, size).endswith(after)


def test_a_message_whose_fields_are_too_long_is_left_out() -> None:
    after = call("Release", "")
    assert sifted(call("Claim", "ada", path="/" + "a" * MOST_BYTES) + after, 4096) == after


def test_all_else_is_the_sockets() -> None:
    assert Sieve(Pieces(b"", 1)).fileno() == 42  # type: ignore[arg-type]
