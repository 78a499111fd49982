"""Threads for work on one picture after the other."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """As many threads. Where what is within is broken off, what they have not begun is dropped: a pool by itself would first do all that
    waits, after Ctrl-C too, which for a large set is an hour."""
    with ThreadPoolExecutor(count) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
