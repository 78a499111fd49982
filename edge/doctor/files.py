"""Checks that the service can read the files named in the settings, and that nobody else can replace them. Reads none of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.doctor.finding import Finding, failed, passed
from edge.doctor.machine import UNIT, Machine
from edge.doctor.state import SERVICE_USER
from edge.models import FOLDER, model_path
from edge.settings import ActionKind, Encryption, Settings

_READ, _SEARCH, _RUN = 0o4, 0o1, 0o1
_KEY, _COMMAND = "gallery.key_file", "action.argv"
# Folders that the service does not see, by the directive of the unit that hides them.
_HIDDEN = {"ProtectHome": ("/home", "/root", "/run/user"), "PrivateTmp": ("/tmp", "/var/tmp")}  # noqa: S108 - no files of ours
_VISIBLE = (None, "no", "read-only")
# Where the service's own program is installed. Run from a checkout, the models beside this module are not the service's.
_INSTALLED = ("/opt", "/usr")


@dataclass(frozen=True, slots=True)
class _User:
    """The service's user: its number, and the numbers of the groups that the unit gives it."""

    id: int
    groups: frozenset[int]

    def may(self, path: Path, status: os.stat_result, right: int) -> bool:
        """Whether the user has a right: by the first class that fits, as in the kernel. A file with an access list always passes."""
        place = 6 if status.st_uid == self.id else 3 if status.st_gid in self.groups else 0
        try:
            return bool(status.st_mode >> place & right or os.getxattr(path, "system.posix_acl_access"))
        except OSError:
            return False


def files(settings: Settings, settings_file: Path | None, machine: Machine) -> Finding:
    """Whether the service's user can use each file, whatever the user who runs this can read."""
    number = machine.user_id(SERVICE_USER)
    if number is None:
        return passed("files", f"there is no user {SERVICE_USER} who would have to read them")
    unit = machine.unit(UNIT, "LoadState", "SupplementaryGroups", *_HIDDEN) or {}
    user = _User(number, frozenset(machine.groups_of(SERVICE_USER, ("video", *unit.get("SupplementaryGroups", "").split()))))
    hidden = [folder for key, folders in _HIDDEN.items() if unit.get(key) not in _VISIBLE for folder in folders]
    root, checked = Path(os.path.realpath(machine.root)), 0
    for setting, named_path in _named_files(settings, settings_file):
        private = {"file": str(named_path)}
        if not named_path.is_absolute():
            message = f"{setting}: {{file}}: the service looks for it below /, not in the folder that you are in"
            return failed("files", message, "write the whole path", **private)
        path = Path(os.path.realpath(root / str(named_path).lstrip("/")))
        try:
            status = path.stat()
            ancestors = {
                f"/{folder.relative_to(root)}": folder.stat() for folder in path.parents if folder.is_relative_to(root)
            }
        except OSError:
            continue  # missing, or hidden from this user: the check of what the file is for says so
        checked += 1
        if folder := next((folder for folder in hidden if path.is_relative_to(root / folder[1:])), None):
            mend = f"sudo install -m 0644 {{file}} /etc/facelatch/, and name it there in {setting}"
            return failed("files", f"{setting}: {{file}}: the service does not see what is in {folder}", mend, **private)
        right, use, letters = (_RUN, "run", "rx") if setting == _COMMAND else (_READ, "read", "r")
        for place, entry in ancestors.items():
            if not user.may(root / place[1:], entry, _SEARCH):
                message = f"{setting}: {{file}}: the service's user cannot {use} it for the rights of {{folder}}"
                mend = f"sudo chgrp {SERVICE_USER} {{folder}} && sudo chmod g+x {{folder}}"
                return failed("files", message, mend, folder=place, **private)
        if not user.may(path, status, right):
            chown = f"sudo chown {SERVICE_USER} {{file}} && sudo chmod 0400 {{file}}"
            mend = chown if setting == _KEY else f"sudo chgrp {SERVICE_USER} {{file}} && sudo chmod g+{letters} {{file}}"
            return failed("files", f"{setting}: {{file}}: the service's user cannot {use} it", mend, **private)
        trusted_ids = {0, user.id}
        if status.st_uid not in trusted_ids:
            message = f"{setting}: {{file}} is user {status.st_uid}'s, who may write it, and so decides what the service does"
            return failed("files", message, "sudo chown root {file}", **private)
        if status.st_mode & 0o022:
            mode = f"its rights are {status.st_mode & 0o777:04o}"
            message = f"{setting}: {{file}}: {mode}: others may write it, and so decide what the service does"
            return failed("files", message, "sudo chmod go-w {file}", **private)
        for place, entry in ancestors.items():
            # In a folder with the sticky bit, nobody can remove another user's file.
            if entry.st_uid not in trusted_ids or entry.st_mode & (0o002 | stat.S_ISVTX) == 0o002:
                message = f"{setting}: others may put another file in the place of {{file}}: {{folder}} is theirs to write"
                mend = "sudo chown root {folder} && sudo chmod go-w {folder}"
                return failed("files", message, mend, folder=place, **private)
    return passed("files", f"{checked} that the settings name can be read by the service, and are nobody else's to change")


def _named_files(settings: Settings, settings_file: Path | None) -> Iterator[tuple[str, Path]]:
    if settings_file:
        yield "the settings", settings_file
    model = model_path(settings.model.path)
    if model.parent != FOLDER or any(FOLDER.is_relative_to(place) for place in _INSTALLED):
        yield "model.path", model
    if settings.detection.detector_file:
        yield "detection.detector_file", Path(settings.detection.detector_file)
    if settings.enrolment.consent_text.startswith("/"):
        yield "enrolment.consent_text", Path(settings.enrolment.consent_text)
    if settings.gallery.encrypt is Encryption.FILE:
        yield _KEY, Path(settings.gallery.key_file)
    if settings.action.kind is ActionKind.COMMAND:
        yield _COMMAND, Path(settings.action.argv[0])
