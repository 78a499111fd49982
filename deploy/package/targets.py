"""What packages are made for: distributions and architectures, and what each promises."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Distribution:
    """A release of Debian. Wheels are compiled for one CPython and for no newer C library than this."""

    name: str
    number: int
    python: tuple[int, int]
    glibc: tuple[int, int]

    @property
    def depends(self) -> str:
        """The packages that what lies in the wheels needs, as Depends says it."""
        (major, minor), (g, h) = self.python, self.glibc
        return (
            f"python3 (>= {major}.{minor}~), python3 (<< {major}.{minor + 1}~), "
            f"libc6 (>= {g}.{h}), libgcc-s1, libstdc++6, zlib1g"
        )


# The newest platform that uv knows of is one of glibc 2.40; Debian 13 has 2.41.
DISTRIBUTIONS = {
    found.name: found
    for found in (Distribution("bookworm", 12, (3, 11), (2, 36)), Distribution("trixie", 13, (3, 13), (2, 40)))
}
# Debian's name of an architecture, the wheels' name, and what readelf calls it.
ARCHITECTURES = {"amd64": ("x86_64", "X86-64"), "arm64": ("aarch64", "AArch64")}
