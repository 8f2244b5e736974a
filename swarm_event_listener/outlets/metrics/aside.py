"""Work that may wait for a disk or for supervisord, beside a loop of asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class Aside:
    """Does one thing at a time, on a thread that the process does not wait for.

    asyncio's own threads are waited for at the end of the process, and there would be
    more of them the longer a disk hangs.
    """

    def __init__(self) -> None:
        """Do nothing yet."""
        self._is_free = asyncio.Semaphore()

    async def do(self, work: Callable[[], T], *, within_s: float) -> T:
        """Return what some work gives.

        Raises:
            TimeoutError: It takes longer, or what is done before it does. It goes on:
                until it has ended nothing else is begun.
        """
        async with asyncio.timeout(within_s):
            await self._is_free.acquire()
            done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
            threading.Thread(
                target=self._run, args=(work, done), name="swarm-page", daemon=True
            ).start()
            return await done

    def _run(self, work: Callable[[], T], done: asyncio.Future[T]) -> None:
        try:
            tell = _telling(done.set_result, work())
        except Exception as error:  # noqa: BLE001 - raised where it is awaited
            tell = _telling(done.set_exception, error)
        with suppress(RuntimeError):  # the loop is closed: the listener ends
            done.get_loop().call_soon_threadsafe(self._end, tell, done)

    def _end(self, tell: Callable[[], None], done: asyncio.Future[T]) -> None:
        self._is_free.release()
        if not done.done():  # else nobody waits any more
            tell()


def _telling(tell: Callable[[T], None], what: T) -> Callable[[], None]:
    return lambda: tell(what)
