"""A Debian in a folder to type commands in, of this machine's kind of processor or, emulated, of another one.

QEMU's user mode runs a foreign program where the kernel is told to start it (binfmt_misc). Here it is told so in a user namespace
alone, which Linux 6.7 and later allow: nothing of the machine changes, and it ends with the namespace.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.arm64.machine import PI_2, PI_4, Processor, describe
from tests.conftest import ADA, EVE, MODEL

ROOT = Path(__file__).parents[2]
# Kept between runs: under emulation a fresh Debian is minutes of work. `make clean` removes it.
KEPT = ROOT / ".arm64"
OWN = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


@dataclass(frozen=True)
class Kind:
    """A kind of processor that is not this machine's: QEMU's program for it, what its ELF files begin with, and a board of it."""

    emulator: str
    elf_class: int
    elf_machine: int
    board: Processor

    @property
    def rule(self) -> str:
        """As binfmt_misc takes it. F: the emulator is opened now, so that it is found from inside another root."""
        magic = bytes([0x7F, *b"ELF", self.elf_class, 1, 1, *bytes(9), 2, 0, self.elf_machine, 0])
        # Programs and shared objects, whatever system they say that they are for.
        mask = b"\xff" * 7 + b"\0" + b"\xff" * 8 + b"\xfe\xff\xff\xff"
        told = ["".join(f"\\x{byte:02x}" for byte in part) for part in (magic, mask)]
        return f":{self.emulator}:M::{told[0]}:{told[1]}:{shutil.which(self.emulator)}:F"


KINDS = {"arm64": Kind("qemu-aarch64-static", 2, 0xB7, PI_4), "armhf": Kind("qemu-arm-static", 1, 0x28, PI_2)}


class Emulation:
    """A namespace in which programs of another kind of processor run."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        words = ["unshare", "--user", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        rules = "/proc/sys/fs/binfmt_misc"
        inside = f'echo; read go; mount -t binfmt_misc none {rules}; printf %s "$1" >{rules}/register; echo; exec cat'
        self._holder = subprocess.Popen(
            [*words, "sh", "-ec", inside, "sh", kind.rule],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        assert self._holder.stderr is not None
        self._holder.stdout.readline()
        for name in ("uid_map", "gid_map"):
            # Everybody is who he is: files get the owners that they have on a device.
            Path(f"/proc/{self._holder.pid}/{name}").write_text("0 0 65536\n")
        self._holder.stdin.write(b"go\n")
        self._holder.stdin.flush()
        if not self._holder.stdout.readline():
            raise RuntimeError(f"no emulation in a namespace, Linux 6.7 or later has it: {self._holder.stderr.read().decode()}")
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
        self._inside = children.read_text().split()[0]

    def words(self) -> list[str]:
        """What comes before a command that is to run in it."""
        return ["nsenter", f"--target={self._inside}", "--user", "--mount", "--pid", "--preserve-credentials", "--"]

    def close(self) -> None:
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.wait()


@contextmanager
def emulation(architecture: str) -> Iterator[Emulation]:
    """Of Debian's architecture.

    Raises:
        RuntimeError: this kernel knows of no rules of a namespace's own.
    """
    made = Emulation(KINDS[architecture])
    try:
        yield made
    finally:
        made.close()


@dataclass(frozen=True)
class Debian:
    """A Debian in a folder."""

    root: Path
    emulation: Emulation | None = None

    def run(self, *words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Types a command in it, without a network and with its own /proc; an emulated one sees a board of its kind."""
        around, told = [], OWN
        mounts = [f"mount -t proc proc {self.root}/proc", f"mount --rbind /dev {self.root}/dev"]
        if self.emulation:
            around, board = self.emulation.words(), self.emulation.kind.board
            told = OWN | {"QEMU_CPU": board.name}
            seen = self.root.parent / f"{self.root.name}.board"
            describe(board, seen)
            mounts += [f"mount --bind {seen}/{path} {self.root}/{path}" for path in ("sys", "proc/cpuinfo")]
        inside = "; ".join([*mounts, f'exec chroot {self.root} "$@"'])
        return subprocess.run(
            [*around, "unshare", "--mount", "--net", "--pid", "--fork", "sh", "-ec", inside, "sh", *map(str, words)],
            env=told,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=check,
        )

    def dpkg(self, *words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("dpkg", *words, check=check)


def make_debian(
    root: Path, distribution: str, architecture: str, packages: Sequence[str], emulated: Emulation | None = None
) -> Debian:
    """A fresh one from Debian's mirror."""
    words = [
        "mmdebstrap",
        "--quiet",
        "--variant=apt",
        "--mode=root",
        f"--architectures={architecture}",
        f"--include={','.join(packages)}",
    ]
    before = emulated.words() if emulated else []
    done = subprocess.run([*before, *words, distribution, str(root)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Debian(root, emulated)


def kept_debian(distribution: str, architecture: str, packages: Sequence[str], emulated: Emulation, to: Path) -> Debian:
    """A copy of the one that is kept; made first where there is none."""
    kept = KEPT / f"{distribution}-{architecture}-{hashlib.sha256(' '.join(packages).encode()).hexdigest()[:12]}"
    if not kept.exists():
        unfinished = KEPT / f".{kept.name}.part"
        shutil.rmtree(unfinished, ignore_errors=True)
        KEPT.mkdir(exist_ok=True)
        make_debian(unfinished, distribution, architecture, packages, emulated)
        unfinished.rename(kept)
    subprocess.run(["cp", "-a", "--reflink=auto", kept, to], check=True)
    return Debian(to, emulated)


def knows_a_person(debian: Debian, clip: Callable[[int, int], Path]) -> None:
    """Enrols by the service's own user, in the folder that the service reads; she is accepted, a stranger is denied."""
    (debian.root / "srv/synthetic.tflite").write_bytes(MODEL.read_bytes())
    (debian.root / "srv/edge.toml").write_text("[detection]\nmin_face_px = 60\n")
    as_service = ("setpriv", "--reuid=facelatch", "--regid=facelatch", "--init-groups", "edge")
    given = ("--model", "/srv/synthetic.tflite", "--config", "/srv/edge.toml")
    for person, take, words, code in (
        (ADA, 0, ("enroll", "ada", "--from"), 0),
        (ADA, 1, ("verify", "ada", "--camera"), 0),
        (EVE, 0, ("verify", "ada", "--camera"), 1),
    ):
        shutil.copy(clip(person, take), debian.root / "srv/clip.avi")
        done = debian.run(*as_service, *words, "/srv/clip.avi", *given, check=False)
        assert done.returncode == code, done.stdout + done.stderr
    assert [path.name for path in (debian.root / "var/lib/facelatch/gallery").iterdir()] == ["ada.faces"]


def left_of_facelatch(debian: Debian) -> list[Path]:
    """What a purge has left. The list of users keeps the service's; the journal's and dpkg's own records name packages that were."""
    named = [path for place in ("etc", "opt", "usr", "var") for path in (debian.root / place).rglob("*facelatch*")]
    commands = [path for place in ("usr/bin", "usr/local/bin") for path in (debian.root / place).glob("edge")]
    return [path for path in named + commands if "/var/log/" not in str(path)]


def build_package(distribution: str, architecture: str, out: Path) -> Path:
    """The Debian package as `make deb` builds it. Lintian's word is its exit code."""
    words = ["-m", "deploy.package", "--distribution", distribution, "--architecture", architecture, "--out", str(out)]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.deb")
    return built
