"""The distributions and architectures that packages are built for, and what each provides. Builds nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Distribution:
    """A release of Debian. The wheels are compiled for this CPython version and for this C library or an older one."""

    name: str
    number: int
    python: tuple[int, int]
    glibc: tuple[int, int]

    @property
    def depends(self) -> str:
        """The packages that the wheels need, in the form of Depends."""
        (major, minor), (g, h) = self.python, self.glibc
        return (
            f"python3 (>= {major}.{minor}~), python3 (<< {major}.{minor + 1}~), "
            f"libc6 (>= {g}.{h}), libgcc-s1, libstdc++6, zlib1g"
        )


# uv knows no platform newer than glibc 2.40; Debian 13 has 2.41.
DISTRIBUTIONS = {
    distribution.name: distribution
    for distribution in (Distribution("bookworm", 12, (3, 11), (2, 36)), Distribution("trixie", 13, (3, 13), (2, 40)))
}
# Debian's name of each architecture: its name in wheels, and in readelf's output.
ARCHITECTURES = {"amd64": ("x86_64", "X86-64"), "arm64": ("aarch64", "AArch64")}
