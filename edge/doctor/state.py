"""Checks of the device's state: gallery, file rights, lock-out and disk space. Changes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from edge.contract.errors import GalleryError, KeyMissing, PackageMissing, StorageError, TemplateMismatch
from edge.contract.modelfile import ModelFile
from edge.doctor.finding import Finding, failed, passed, warned
from edge.doctor.machine import Machine
from edge.gallery import SUFFIX, Gallery
from edge.keys import Keys
from edge.lockout import Lockout
from edge.settings import SERVICE_STATE, Encryption, GallerySettings

SERVICE_USER = "facelatch"
# In bytes. Below LEAST_FREE failures can soon not be counted, and then nobody is judged. Below LOW_FREE a journal or an upgrade may fill
# the disk.
LEAST_FREE, LOW_FREE = 16 << 20, 256 << 20
_IN_ITS_PLACE = "move away what is in its place, or check the card (dmesg)"


def rights(state: Path, machine: Machine) -> Finding:
    """Whether only the service's user can read templates and write into the state folder."""
    private = {"folder": str(state)}
    try:
        os.listdir(state)
        status = state.stat()
        # File names show who is enrolled, so the service's folder must be closed. A user's own folder lies in a closed home.
        forbidden_bits = {
            state: 0o077 if state == SERVICE_STATE else 0o022,
            state / "gallery": 0o077,
            state / "lockout.json": 0o077,
        }
        forbidden_bits |= dict.fromkeys((state / "gallery").glob(f"*{SUFFIX}"), 0o077) | dict.fromkeys(
            (state / "gallery").glob(".*.new"), 0o077
        )
        statuses = {path: path.stat() for path in forbidden_bits if path.exists()}
    except FileNotFoundError:
        return passed("rights", "no state folder yet")
    except PermissionError:
        return warned("rights", "{folder}: this user may not read it", "sudo edge doctor", **private)
    except OSError as error:
        return failed("rights", "{folder} cannot be read: {error}", _IN_ITS_PLACE, error=str(error.strerror), **private)
    open_to_others = [path for path, entry in statuses.items() if entry.st_mode & forbidden_bits[path]]
    mend = "sudo chmod -R go= {folder}"
    if open_to_others:
        message = f"{len(open_to_others)} of {len(statuses)} files and folders of {{folder}} are open to other users"
        return failed("rights", message, mend, **private)
    owner = machine.user_id(SERVICE_USER) if state == SERVICE_STATE else status.st_uid
    if owner is None:
        return failed("rights", f"there is no user {SERVICE_USER}", "sudo deploy/install.sh")
    foreign = [path for path, entry in statuses.items() if entry.st_uid != owner]
    if foreign:
        message = f"{len(foreign)} of {len(statuses)} files and folders of {{folder}} are not the service's own: it cannot read or count"
        return failed("rights", message, f"sudo chown -R {SERVICE_USER}: {{folder}}", **private)
    return passed("rights", f"{len(statuses)} files and folders, open to their owner alone")


def gallery(
    state: Path,
    verifier: ModelFile | None,
    machine: Machine,
    settings: GallerySettings = GallerySettings(),  # noqa: B008 - frozen
) -> Finding:
    """Whether anybody is enrolled, and whether all templates are intact and made by the model."""
    if state != SERVICE_STATE and not machine.is_root and (machine.root / str(SERVICE_STATE).lstrip("/")).is_dir():
        message = "{folder} was looked at, this user's own, and not the service's gallery"
        return warned("gallery", message, "sudo edge doctor", folder=str(state))
    store = Gallery(state, Keys(settings, state))
    try:
        os.listdir(store.folder)
        names = store.names()
    except FileNotFoundError:
        names = []
    except PermissionError:
        return warned("gallery", "{folder}: this user may not read it", "sudo edge doctor", folder=str(store.folder))
    except OSError as error:
        message = "{folder} cannot be read, so nobody is recognised: {error}"
        return failed("gallery", message, _IN_ITS_PLACE, folder=str(store.folder), error=str(error.strerror or error))
    if not names:
        return warned("gallery", "nobody is enrolled", "edge enroll NAME")
    if verifier is None:
        return warned("gallery", f"{len(names)} subjects; without a model nobody can be matched", "mend the model first")
    try:
        subjects, refused = store.read_for(verifier.model_id, verifier.head.size)
    except PackageMissing as error:
        return failed(
            "gallery",
            f"{len(names)} subjects, of whom nobody is recognised: {error}",
            "install it, then start the service again",
        )
    foreign = [error for error in refused if isinstance(error, TemplateMismatch)]
    broken = [error for error in refused if not isinstance(error, TemplateMismatch)]
    counts = f"{len(subjects)} of {len(names)} subjects can be recognised"
    if broken and settings.encrypt is Encryption.CREDENTIAL and all(isinstance(error, KeyMissing) for error in broken):
        message = f"{len(names)} subjects, encrypted with a key that the service alone is given"
        return warned("gallery", message, "edge status")
    if broken:
        damaged = sum(isinstance(error, GalleryError) for error in broken)
        message = f"{counts}; {damaged} damaged, {len(broken) - damaged} cannot be read: {{errors}}"
        return failed(
            "gallery",
            message,
            "edge enroll NAME --replace, or put the file back from a backup",
            errors="; ".join(map(str, broken)),
        )
    if foreign:
        mend = "edge enroll NAME --replace for each; `edge migrate` lists them"
        return failed("gallery", f"{counts}; {len(foreign)} were enrolled with another model", mend)
    templates = sum(len(subject.templates) for subject in subjects)
    return passed("gallery", f"{counts}, {templates} templates")


def lockout(state: Path, disable_failures: int) -> Finding:
    """Whether the counts of failures can be read, and nobody is disabled."""
    try:
        counts = Lockout(state).everyone()
    except StorageError as error:
        if isinstance(error.__cause__, PermissionError):
            return warned("lock-out", "this user may not read the counts", "sudo edge doctor")
        return failed(
            "lock-out", "the counts cannot be read, so nobody is judged: {error}", "edge unlock-out --all", error=str(error)
        )
    disabled = [name for name, count in counts.items() if count >= disable_failures]
    if disabled:
        message = f"{len(disabled)} disabled after {disable_failures} failures: {{names}}"
        mend = "edge unlock-out NAME, without a name for whoever stands there, --all for everyone"
        return warned("lock-out", message, mend, names=", ".join(name or "whoever stands there" for name in disabled))
    failures = sum(counts.values())
    return passed("lock-out", f"{failures} failures counted since the last accepts" if failures else "no failures counted")


def disk(state: Path, machine: Machine, statistics: Callable[[Path], os.statvfs_result] = os.statvfs) -> Finding:
    """Free space and persistence of the state folder's disk. If failures cannot be counted, nobody is judged."""
    folder = next((path for path in (state, *state.parents) if path.exists()), Path("/"))
    disk_stats = statistics(folder)
    free = disk_stats.f_bavail * disk_stats.f_frsize
    summary = f"{free / (1 << 20):.0f} MiB free for the state folder"
    if disk_stats.f_flag & os.ST_RDONLY:
        return failed(
            "disk", "the state folder's disk is read-only: nobody is judged", "check the card (dmesg), then mount it writable"
        )
    if free < LEAST_FREE or disk_stats.f_favail == 0 < disk_stats.f_files:
        return failed(
            "disk", f"{summary}: nobody is judged once a failure cannot be counted", "sudo journalctl --vacuum-size=100M; df -h"
        )
    kind = _file_system(folder, machine)
    if kind in ("tmpfs", "overlay"):
        mend = (
            "keep /var/lib/facelatch on a disk of its own, or turn the overlay off: `sudo raspi-config`, Performance, Overlay"
        )
        return warned("disk", f"{summary}, on {kind}: what is enrolled may be gone after a reboot", mend)
    if free < LOW_FREE:
        return warned("disk", summary, "sudo journalctl --vacuum-size=100M; df -h")
    return passed("disk", f"{summary}, on {kind}")


def _file_system(folder: Path, machine: Machine) -> str:
    mounts = [line.split() for line in (machine.text("proc/self/mounts") or "").splitlines()]
    ancestors = {str(path) for path in (folder, *folder.parents)}
    matches = [(len(mount[1]), mount[2]) for mount in mounts if len(mount) > 2 and mount[1] in ancestors]
    # Of two mounts on one folder, the later one is visible.
    return max(reversed(matches), key=lambda entry: entry[0])[1] if matches else "an unknown file system"
