"""Gives back memory that the start needed and the running daemon does not. Works under glibc on Linux; does nothing anywhere else.

There are two kinds, which are not worth the same. The first is memory of this process alone: the C library's free pages go back to the
kernel. The second is page cache: machine code and tables of libraries, most of which only the start used. They leave this process's
resident memory at once but stay in the page cache, which the kernel reclaims when memory is short; what is called again is mapped again
by a page fault, without disk access while it is cached. So the second kind lowers the figure, but saves nothing by itself.

The network is held in memory and not mapped from its file, although 6 MB would then count as page cache: whoever wrote to that file
would change what runs after its verification, and whoever truncated it would crash the daemon. glibc's thresholds (mallopt) are left
alone, too: bounding them saved less than a megabyte.
"""

from __future__ import annotations

import ctypes
import gc
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SMAPS = Path("/proc/self/smaps")
# <sys/mman.h>
_MADV_DONTNEED = 4


class Mapping(NamedTuple):
    """A range of addresses, excluding `stop`."""

    start: int
    stop: int


def give_back() -> None:
    """Call it once everything is loaded: frees what reading and checking the model took, and what only the start used of the libraries."""
    gc.collect()
    if (library := _glibc()) is not None:
        library.malloc_trim(0)
        _drop_files(library)


def unwritten(smaps: str) -> Iterator[Mapping]:
    """The mappings of /proc/self/smaps that may be dropped: of a file, private, not writable, and with no page that was ever written to.

    Such pages are the file's own bytes. Dropping a written page would bring the file's bytes back: the loader writes addresses into a
    library's tables before it makes them read-only. A page once written to counts as anonymous, or is swapped out.
    """
    for text in filter(None, re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", smaps.strip())):
        head, *lines = text.splitlines()
        span, rights, _, _, _, *path = head.split(maxsplit=5)
        sums = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
        of_a_file = bool(path) and path[0].startswith("/")
        if of_a_file and rights in ("r-xp", "r--p") and sums.get("Anonymous") == sums.get("Swap") == "0 kB":
            start, stop = span.split("-")
            yield Mapping(int(start, 16), int(stop, 16))


def _drop_files(library: ctypes.CDLL) -> None:
    try:
        smaps = SMAPS.read_text()
    except OSError:
        return  # a kernel without smaps: nothing is dropped, which is no error
    library.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for mapping in unwritten(smaps):
        library.madvise(mapping.start, mapping.stop - mapping.start, _MADV_DONTNEED)


def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - other C libraries have no such name, and other meanings of these numbers
    except (OSError, AttributeError):
        return None
    return library
