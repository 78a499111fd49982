"""A Debian in a folder to run commands in, for this machine's kind of processor or, emulated, for another one.

The kernel starts QEMU's user mode for a foreign program if binfmt_misc has a rule for it. Here the rule is made in a user namespace
only, which Linux 6.7 and later allow: it changes nothing on the machine, and ends with the namespace.
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
# Kept between runs, because a fresh Debian takes minutes under emulation. `make clean` removes it.
KEPT = ROOT / ".arm64"
OWN = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


@dataclass(frozen=True)
class Kind:
    """A foreign kind of processor: QEMU's program for it, the class and machine in the header of its ELF files, and a board with one."""

    emulator: str
    elf_class: int
    elf_machine: int
    board: Processor

    @property
    def rule(self) -> str:
        """The rule for binfmt_misc. Its flag F opens the emulator now, so that it is found from inside another root."""
        magic = bytes([0x7F, *b"ELF", self.elf_class, 1, 1, *bytes(9), 2, 0, self.elf_machine, 0])
        # Programs and shared objects, whatever operating system their header names.
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
            # Every user is mapped to itself, so that files get the owners that they have on a device.
            Path(f"/proc/{self._holder.pid}/{name}").write_text("0 0 65536\n")
        self._holder.stdin.write(b"go\n")
        self._holder.stdin.flush()
        if not self._holder.stdout.readline():
            raise RuntimeError(f"no emulation in a namespace, Linux 6.7 or later has it: {self._holder.stderr.read().decode()}")
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
        self._inside = children.read_text().split()[0]

    def words(self) -> list[str]:
        """The words before a command that run it in the namespace."""
        return ["nsenter", f"--target={self._inside}", "--user", "--mount", "--pid", "--preserve-credentials", "--"]

    def close(self) -> None:
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.wait()


@contextmanager
def emulation(architecture: str) -> Iterator[Emulation]:
    """An emulation of one of Debian's architectures.

    Raises:
        RuntimeError: this kernel does not allow binfmt_misc rules in a namespace.
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
        """Runs a command in it, without a network and with its own /proc; an emulated one sees its board's processor."""
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
    """Makes a fresh Debian from Debian's mirror."""
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
    """Copies the Debian that is kept between runs; makes it first if there is none."""
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
    """Enrols a person as the service's user, in the folder that the service reads; she must be accepted, and a stranger denied."""
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
    """The files that a purge has left. Not /var/log, where records of the journal and of dpkg name removed packages."""
    named = [path for place in ("etc", "opt", "usr", "var") for path in (debian.root / place).rglob("*facelatch*")]
    commands = [path for place in ("usr/bin", "usr/local/bin") for path in (debian.root / place).glob("edge")]
    return [path for path in named + commands if "/var/log/" not in str(path)]


def build_package(distribution: str, architecture: str, out: Path) -> Path:
    """The Debian package, as `make deb` builds it. The build fails if lintian objects."""
    words = ["-m", "deploy.package", "--distribution", distribution, "--architecture", architecture, "--out", str(out)]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.deb")
    return built
