"""Unpacks the locked wheels of a target, without what the device never loads. Runs none of their code, so needs no emulation."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.package.targets import ARCHITECTURES, Distribution

# What is left out of the wheels, and why. The rest stays byte for byte what the lock file's hashes name.
LEFT_OUT = {
    "bin": "commands of the packages; this package's only command is edge",
    "**/tests": "the packages' own tests",
    "**/*.pyi": "read by type checkers alone",
    "tqdm/completion.sh": "completes a command that is left out",
    "**/*.a": "for linking against numpy",
    "numpy/_core/include": "for compiling against numpy",
    "cv2/data/*.xml": "cascades; the one in use is a part of the model's contract and lies in edge/contract",
    "ai_edge_litert/aot": "compiles models for other processors",
    "ai_edge_litert/tools": "benchmarks and compilers, some of them programs",
    "ai_edge_litert/vendors": "plugins for other processors; they need libraries that Debian does not have",
    "ai_edge_litert/libLiteRtWebGpuAccelerator.so": "for graphics processors; networks run on the CPU",
}
# The libraries that Depends brings (targets.Distribution.depends), by the names that other libraries need.
SYSTEM_LIBRARIES = re.compile(
    r"(lib(c|m|dl|rt|pthread)\.so\.\d+|ld-linux-(x86-64|aarch64)\.so\.\d+|libgcc_s\.so\.1|libstdc\+\+\.so\.6|libz\.so\.1)"
)


def unpack(lock: Path, distribution: Distribution, architecture: str, folder: Path) -> None:
    """Fetches the wheels of a lock file and unpacks them into a folder. Markers are evaluated for the target, not for this machine.

    Raises:
        subprocess.CalledProcessError: a wheel cannot be fetched, or does not have its locked hash.
    """
    platform = "{}-manylinux_{}_{}".format(ARCHITECTURES[architecture][0], *distribution.glibc)
    python = "{}.{}".format(*distribution.python)
    # --no-config: the project's configuration has constraints for making the lock file, which are an error together with hashes.
    command = (
        f"-m uv pip install --quiet --no-config --require-hashes --no-deps --only-binary :all: --python-platform {platform}"
    )
    command += f" --python-version {python} --link-mode copy --no-compile-bytecode"
    subprocess.run([sys.executable, *command.split(), "--target", str(folder), "--requirement", str(lock)], check=True)
    for pattern in LEFT_OUT:
        for path in sorted(folder.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(0o644)  # none of them is a program, whatever the wheel says


def problems(folder: Path, architecture: str) -> list[str]:
    """What would not load on the target: a library for another processor, or one that needs a library that nothing provides."""
    wrong = []
    libraries = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.read_bytes()[:4] == b"\x7fELF"]
    if not libraries:
        wrong.append(f"{folder}: no library at all")
    provided = {path.name for path in libraries}
    for library in libraries:
        output = subprocess.run(["readelf", "-hd", library], check=True, capture_output=True, text=True).stdout
        if not re.search(rf"Machine:.*{ARCHITECTURES[architecture][1]}", output):
            wrong.append(f"{library}: not for {architecture}")
        for needed in re.findall(r"\(NEEDED\).*\[(.+)\]", output):
            if needed not in provided and not SYSTEM_LIBRARIES.fullmatch(needed):
                wrong.append(f"{library}: needs {needed}, which neither a wheel nor a package in Depends brings")
    return wrong
