"""What `camera.source` means: a node, a USB id, a ribbon camera, an address or a recording. Opens nothing."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import Enum, auto

from edge.camera.stream import without_password
from edge.contract.errors import SettingsError

_NUMBER = re.compile(r"(?:video)?(\d+)", re.IGNORECASE)
_RIBBON = re.compile(r"csi:?(\d{1,3})?", re.IGNORECASE)
_USB_ID = re.compile(r"([0-9a-f]+):([0-9a-f]+)", re.IGNORECASE)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)(:/{0,2})", re.IGNORECASE)
_SCHEMES = ("http", "https", "rtsp", "rtsps")
# Holds a password before a host, in a query, or as `user=...` in the path: then it is an address, even without its scheme.
_SECRET = re.compile(r"(?!\.{0,2}/[^/]).*(:.*@|[?;&].*=|(user|pass|pwd|token|auth)[^/]*=)", re.IGNORECASE)
# Unicode categories not allowed in a name: control characters, which end it for the code that opens it, and undecodable bytes. Other
# unprintable characters are allowed: macOS writes U+202F into the names of its screen recordings.
_NO_NAME = frozenset({"Cc", "Cs"})


class Kind(Enum):
    """The kinds of source. While one is missing, it is waited for, except a RECORDING."""

    NODE = auto()
    USB_ID = auto()
    RIBBON = auto()
    ADDRESS = auto()
    RECORDING = auto()


@dataclass(frozen=True, slots=True)
class Source:
    """`text` is the canonical form that the rest of the program knows: "/dev/video0", "046d:0825", "csi:0"."""

    kind: Kind
    text: str


def source_of(text: str) -> Source:
    """Interprets what a person wrote, in upper or lower case. A file with a camera's name is written with its folder: ./video0.

    Raises:
        SettingsError: the text resembles a camera's name but is none. Taking it for a recording would hide the mistake.
    """
    text = text.strip()
    if not text:
        raise _unclear(text, "names nothing; `edge cameras` lists what there is")
    if not _NO_NAME.isdisjoint(map(unicodedata.category, text)):
        raise _unclear(ascii(text)[1:-1], "holds a character that no name of a camera or a recording has")
    if text.startswith("/dev/"):
        return Source(Kind.NODE, text)
    if number := _NUMBER.fullmatch(text):
        if len(number[1]) > 3:
            raise _unclear(text, "no video node has such a number; `edge cameras` lists what there is")
        return Source(Kind.NODE, f"/dev/video{int(number[1])}")
    if ribbon := _RIBBON.fullmatch(text):
        return Source(Kind.RIBBON, f"csi:{int(ribbon[1] or 0)}")
    if text.lower().startswith("csi:"):
        raise _unclear(text, "a camera on the ribbon cable is csi:0, csi:1, ...")
    if usb_id := _USB_ID.fullmatch(text):
        if {len(half) for half in usb_id.groups()} != {4}:
            raise _unclear(text, "a USB id has four digits before the colon and four after, as `lsusb` prints it: 046d:0825")
        return Source(Kind.USB_ID, text.lower())
    if (scheme := _SCHEME.match(text)) and (address := _address(text, scheme)):
        return address
    if _SECRET.match(text):
        raise SettingsError(
            f"camera.source: an address without its scheme: write {', '.join(f'{name}://' for name in _SCHEMES)} before it; "
            "a file of such a name is written with its folder: ./..."
        )
    return Source(Kind.RECORDING, text)


def is_replay(text: str) -> bool:
    """Whether a source is a recording, whose errors do not go away by waiting. Raises SettingsError as `source_of` does."""
    return source_of(text).kind is Kind.RECORDING


def _address(text: str, scheme: re.Match[str]) -> Source | None:
    known, rest = scheme[1].lower() in _SCHEMES, text[scheme.end() :]
    if known and scheme[2] == "://" and rest:
        return Source(Kind.ADDRESS, f"{scheme[1].lower()}://{rest}")
    if known or scheme[2] == "://":
        raise _unclear(
            f"{scheme[1]}://{rest}", f"a camera in the network is {', '.join(f'{name}://' for name in _SCHEMES)} and its host"
        )
    return None  # a file with a colon in its name


def _unclear(text: str, remedy: str) -> SettingsError:
    return SettingsError(f'camera.source = "{without_password(text)}": {remedy}')
