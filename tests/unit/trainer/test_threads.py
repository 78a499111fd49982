"""The thread pool drops pending work if its block is left by an exception."""

from __future__ import annotations

from threading import Event

import pytest

from trainer.threads import threads


@pytest.mark.parametrize("ends", [KeyboardInterrupt, OSError])
def test_what_waits_is_dropped_where_the_work_is_broken_off(ends: type[BaseException]) -> None:
    """Both threads are busy with their first item until the command has ended, while the others are still pending."""
    begun, ended = list[int](), Event()

    def work(number: int) -> int:
        begun.append(number)
        ended.wait()
        return number

    def command() -> None:
        with threads(2) as pool:
            shutdown = pool.shutdown

            def shut(*, wait: bool = True, cancel_futures: bool = False) -> None:
                shutdown(wait=False, cancel_futures=cancel_futures)
                ended.set()
                shutdown(wait=wait)

            pool.shutdown = shut  # type: ignore[method-assign,assignment]
            pool.map(work, range(50))
            raise ends

    with pytest.raises(ends):
        command()
    assert len(begun) <= 2


def test_what_is_not_broken_off_is_done() -> None:
    with threads(2) as pool:
        done = pool.map(lambda number: number + 1, range(50))
    assert [*done] == list(range(1, 51))
