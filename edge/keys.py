"""Reads the key that templates are encrypted with, checks whether others can read it, and gives it an id. Encrypts nothing.

A key is a file of one line, 64 hexadecimal digits: it can be typed from paper. Its id, the start of a hash, is in every file it encrypts.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from edge.contract.errors import KeyMissing, KeyUnusable, KeyWrong
from edge.seal import KEY_BYTES
from edge.settings import Encryption, GallerySettings
from edge.store import write_new

DIGITS = 2 * KEY_BYTES
_MOST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Key:
    """`secret` is KEY_BYTES long and shown nowhere; `source` says where it came from."""

    secret: bytes = field(repr=False)
    source: str

    @property
    def id(self) -> str:
        """16 hexadecimal digits that tell keys apart without revealing the secret."""
        return hashlib.sha256(b"facelatch gallery key\0" + self.secret).hexdigest()[:16]


class Keys:
    """The key in force, and an old one that templates may still be encrypted with while they are rewritten. Read again for every use."""

    def __init__(self, settings: GallerySettings, state: Path, old: Path | None = None) -> None:
        self._settings, self._state, self._old = settings, state, old

    def current(self) -> Key | None:
        """The key that templates are written with; None where they are not encrypted.

        Raises:
            KeyMissing: it is not where the settings say.
            KeyUnusable: others than root and the owner of the state folder could read it, or it is not a valid key.
        """
        match self._settings.encrypt:
            case Encryption.NONE:
                return None
            case Encryption.FILE:
                return self._from_file(Path(self._settings.key_file))
            case Encryption.CREDENTIAL:
                return _from_credential(self._settings.credential)

    def find(self, key_id: str, file: Path) -> Key:
        """The key with an id, for `file`, which is encrypted with it.

        Raises:
            KeyMissing, KeyUnusable: as `current`; also if the settings name no key at all.
            KeyWrong: there are keys, but not that one.
        """
        available = [key for key in (self.current(), self._from_file(self._old) if self._old else None) if key is not None]
        for key in available:
            if key.id == key_id:
                return key
        if not available:
            raise KeyMissing(
                f'{file}: encrypted with key {key_id}, and gallery.encrypt is "none": name the key in [gallery], '
                "or `edge migrate --rewrite --old-key FILE` takes the encryption off"
            )
        described = " and ".join(f"{key.source} is {key.id}" for key in available)
        raise KeyWrong(
            f"{file}: encrypted with key {key_id}, {described}: put that key back, or, if it is kept elsewhere, "
            "`edge migrate --rewrite --old-key FILE`; without it the subject must be enrolled again"
        )

    def _from_file(self, path: Path) -> Key:
        content, status = _content(path, "`edge gallery-key new` makes one, a running daemon finds it within half a minute")
        if status.st_mode & 0o077:
            raise KeyUnusable(f"{path}: mode {stat.S_IMODE(status.st_mode):04o}, others can get at the key: chmod 0400 {path}")
        trusted = {0, os.geteuid(), self._state.stat().st_uid if self._state.exists() else 0}
        if status.st_uid not in trusted:
            raise KeyUnusable(
                f"{path}: belongs to user {status.st_uid}, who can read the key: chown it to root or to the owner of {self._state}"
            )
        return _key(content, str(path))


def new_key() -> str:
    """The line of a key file, with a new random key."""
    return secrets.token_hex(KEY_BYTES) + "\n"


def write_new_key(path: Path, state: Path) -> Key:
    """Makes a key file, 0400. If root makes it, it is given to the owner of the state folder: the service must read it.

    Raises:
        StorageError: the file exists already, and is never overwritten, or it cannot be written.
    """
    line = new_key()
    owner = state.stat().st_uid if os.geteuid() == 0 and state.exists() else None
    write_new(path, line, mode=0o400, owner=owner, remedy="a stick with FAT is mounted with umask=0377,uid=USER")
    return _key(line.encode(), str(path))


def _from_credential(name: str) -> Key:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    remedy = (
        f"the service gets it by LoadCredentialEncrypted={name}:FILE, a command by `systemd-run --pty "
        f"--property=LoadCredentialEncrypted={name}:FILE edge ...`"
    )
    if not folder:
        raise KeyMissing(f"credential {name}: $CREDENTIALS_DIRECTORY is not set; {remedy}")
    # Its permissions are not checked: systemd gives it to this process alone, by an ACL that looks like a group permission.
    content, _ = _content(Path(folder) / name, remedy)
    return _key(content, f"credential {name}")


def _content(path: Path, remedy: str) -> tuple[bytes, os.stat_result]:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not block the daemon
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise KeyUnusable(f"{path}: not a file; a key is a file of {DIGITS} hexadecimal digits")
            return os.read(handle, _MOST_BYTES), status
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise KeyMissing(f"{path}: no such key; {remedy}") from None
    except OSError as error:
        raise KeyUnusable(
            f"{path}: cannot read the key: {error.strerror}; it must be readable by the service's user"
        ) from error


def _key(content: bytes, source: str) -> Key:
    digits = content.strip()
    if len(digits) != DIGITS:
        raise KeyUnusable(
            f"{source}: {len(digits)} characters, a key has {DIGITS} hexadecimal digits: it was cut off, or is none"
        )
    if not re.fullmatch(rb"[0-9a-fA-F]+", digits):
        raise KeyUnusable(f"{source}: not a key: it has characters other than 0-9 and a-f")
    return Key(bytes.fromhex(digits.decode()), source)
