"""An arm64 user space that needs no root: Debian 12's packages unpacked, wheels for arm64, and a Pi's /proc/cpuinfo and /sys.

For every path that the guest opens, QEMU's user mode looks into a folder first. The runtimes read the processor's description from
there: with that of an x86 host they crash on an ARM processor.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PACKAGES = "python3-minimal,libpython3-stdlib,libstdc++6"
PLATFORMS = ("manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in range(17, 37)))
WHEELS = {"ai-edge-litert": ("edge", "ai-edge-litert"), "tflite-runtime": ("tflite-runtime", "tflite-runtime")}
NEEDED = ("numpy", "opencv-python-headless")


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor: `name` is QEMU's, `board` one that has it, `features` what Linux reports of it, `part` Arm's number."""

    name: str
    board: str
    features: str
    part: str
    max_khz: int
    architecture: int = 8


PI_2 = Processor(
    "cortex-a7",
    "Raspberry Pi 2, of 32 bits",
    "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm",
    "0xc07",
    900_000,
    architecture=7,
)
PI_4 = Processor("cortex-a72", "Raspberry Pi 4", "fp asimd evtstrm crc32 cpuid", "0xd08", 1_500_000)
PI_5 = Processor(
    "cortex-a76",
    "Raspberry Pi 5 without its crypto extension",
    "fp asimd evtstrm crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
    "0xd0b",
    2_400_000,
)
PROCESSORS = (PI_4, PI_5)


class Machine:
    """The user space in `folder`. Made if it is not there yet, which takes about 20 s and 500 MB."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for tool, package in (("mmdebstrap", "mmdebstrap"), ("qemu-aarch64", "qemu-user"), ("gcc", "gcc libc6-dev")):
            if shutil.which(tool) is None:
                raise SystemExit(f"{tool} is missing: apt-get install {package}")
        self._system = self._make_once("debian", self._unpack)
        self._plugin = self._make_once("count.so", self._compile)
        self._wheels = {name: self._make_once(name, lambda target, name=name: self._install(target, name)) for name in WHEELS}

    def run(self, runtime: str, processor: Processor, arguments: Sequence[str | Path], *, count_to: Path | None = None) -> str:
        """Runs Python with these arguments on an emulated processor and returns what it prints."""
        describe(processor, self._system)
        command = ["qemu-aarch64", "-cpu", processor.name, "-L", str(self._system)]
        command += [
            "-E",
            f"PYTHONPATH={self._wheels[runtime]}:{ROOT}",
            "-E",
            "PYTHONDONTWRITEBYTECODE=1",
            "-E",
            "PYTHONHASHSEED=0",
        ]
        command += ["-plugin", f"{self._plugin},out={count_to}"] if count_to else []
        done = subprocess.run(
            [*command, str(self._system / "usr/bin/python3"), *map(str, arguments)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{runtime} on {processor.name}: exit code {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def _make_once(self, name: str, make: object) -> Path:
        target = self._folder / name
        if not target.exists():
            print(f"making {target}", file=sys.stderr, flush=True)
            self._folder.mkdir(parents=True, exist_ok=True)
            unfinished = self._folder / f".{name}.part"
            shutil.rmtree(unfinished, ignore_errors=True)
            make(unfinished)
            unfinished.rename(target)
        return target

    def _unpack(self, target: Path) -> None:
        # "extract" runs no maintainer scripts, so no arm64 program has to run and no privileges are needed.
        command = ["mmdebstrap", "--quiet", "--variant=extract", "--architectures=arm64", f"--include={PACKAGES}"]
        subprocess.run([*command, "bookworm", str(target)], check=True)
        # The scripts that did not run would have linked python3 to its version.
        python = target / "usr/bin/python3"
        if not python.exists():
            python.symlink_to(next((target / "usr/bin").glob("python3.[0-9]*")).name)

    def _compile(self, target: Path) -> None:
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(target), str(HERE / "count.c")], check=True)

    def _install(self, target: Path, runtime: str) -> None:
        lock, package = WHEELS[runtime]
        locked = (ROOT / f"requirements-{lock}.lock").read_text()
        requirements = [_locked(locked, name) for name in (package, *NEEDED)]
        platforms = [part for name in PLATFORMS for part in ("--platform", name)]
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--python-version", "3.11", *platforms, "--target", str(target), *requirements]
        subprocess.run(command, check=True)


def describe(processor: Processor, folder: Path) -> None:
    """Writes what a board's kernel reports of its processor to proc/cpuinfo and sys/ in a folder."""
    cpuinfo = "\n".join(
        f"processor\t: {n}\nBogoMIPS\t: 108.00\nFeatures\t: {processor.features}\nCPU implementer\t: 0x41\n"
        f"CPU architecture: {processor.architecture}\nCPU variant\t: 0x0\nCPU part\t: {processor.part}\nCPU revision\t: 3\n"
        for n in range(4)
    )
    files = {"proc/cpuinfo": cpuinfo}
    cpus = "sys/devices/system/cpu"
    files |= {f"{cpus}/possible": "0-3", f"{cpus}/present": "0-3", f"{cpus}/kernel_max": "255"}
    for n in range(4):
        cpu = f"{cpus}/cpu{n}"
        files |= {f"{cpu}/topology/physical_package_id": "0", f"{cpu}/topology/cluster_cpus_list": "0-3"}
        files |= {f"{cpu}/cpufreq/cpuinfo_min_freq": "600000", f"{cpu}/cpufreq/cpuinfo_max_freq": str(processor.max_khz)}
        for index, (level, size, shared) in enumerate((("1", "32K", str(n)), ("1", "48K", str(n)), ("2", "1024K", "0-3"))):
            cache = f"{cpu}/cache/index{index}"
            files |= {f"{cache}/level": level, f"{cache}/size": size, f"{cache}/shared_cpu_list": shared}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def _locked(lock: str, name: str) -> str:
    match = re.search(rf"^{re.escape(name)}==([^\s\\;]+)", lock, re.MULTILINE)
    if not match:
        raise SystemExit(f"{name} is in no lock file")
    return f"{name}=={match[1]}"
