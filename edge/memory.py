"""Memory that a start needed and the running daemon does not: given back. Correct under glibc on Linux, silent anywhere else.

Two kinds, which are not worth the same. Real memory is what only this process has: of it the C library's free pages go back to the
kernel. Page cache is the other part: machine code and tables of libraries, of which most served the start alone. They leave this
process's resident memory at once and stay in the page cache, where the kernel may take them when memory is short; what is called again
is mapped again by a fault, without the disk while it is cached. So that part makes the figure smaller, and is no saving of its own.

The network is held in memory and not mapped from its file, although 6 MB would count as page cache then: whoever writes into that file
would change what runs after it was verified, and whoever cuts it off would end the daemon. glibc's thresholds (mallopt) stay as they
are, too: bounded, they were worth less than a megabyte.
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
    """A range of addresses, `stop` not in it."""

    start: int
    stop: int


def give_back() -> None:
    """Once everything is loaded: what reading and checking the model took, and what of the libraries only the start used."""
    gc.collect()
    if (library := _glibc()) is not None:
        library.malloc_trim(0)
        _drop_files(library)


def unwritten(smaps: str) -> Iterator[Mapping]:
    """The mappings of /proc/self/smaps that may be dropped: of a file, private, not writable, and with no page that was ever written to.

    Such pages are the file's own bytes. Of others dropping would bring those back: the loader writes addresses into a library's tables
    before it takes the right to write away. A page once written to is anonymous, or in the swap.
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
        return  # a kernel without it: nothing is dropped, and nothing is wrong
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
