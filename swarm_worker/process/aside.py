"""A thread of its own for what may block or raise: never the one that polls.

The constructor of a client waits ten seconds for a token; a callback that an app has
brought may do anything.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from queue import Full, Queue
from typing import Any, Final, TypeVar

from swarm_worker.process.own_thread import OwnThread
from swarm_worker.shared.logs import shown

logger = logging.getLogger(__name__)

T = TypeVar("T")

WAITING_MAX: Final = 1_000  # calls of an app's callbacks; statistics are large

# librdkafka calls it on a thread of its own, and needs its answer.
OFF_THE_POLL_THREAD: Final = frozenset({"oauth_cb"})


def ends_within(within_s: float, call: Callable[[], None], *, name: str) -> bool:
    """Call on a thread of its own; whether it is over in time, or left behind."""
    thread = threading.Thread(target=call, name=name, daemon=True)
    thread.start()
    thread.join(within_s)
    return not thread.is_alive()


def begun(make: Callable[[], T], *, name: str) -> Future[T]:
    """Begin to make something on a thread of its own, which is left behind at the end.

    Raises:
        RuntimeError: The system gives no thread.
    """
    made: Future[T] = Future()

    def run() -> None:
        try:
            made.set_result(make())
        except BaseException as error:  # noqa: BLE001 - raised where it is asked for
            made.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return made


class Aside(OwnThread):
    """Calls what an app has brought, one call after the other."""

    def __init__(self, group: str) -> None:
        """Start no thread before the first call."""
        super().__init__(f"swarm-callbacks-{group}")
        self._group = group
        self._calls: Queue[tuple[str, Callable[..., object], tuple[Any, ...]]]
        self._calls = Queue(WAITING_MAX)
        self._is_full = False

    def keep_off(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        """Return the properties with callbacks that return at once and never raise."""
        return {
            name: self._later(name, value)
            if callable(value) and name not in OFF_THE_POLL_THREAD
            else value
            for name, value in properties.items()
        }

    def _later(self, name: str, brought: Callable[..., object]) -> Callable[..., None]:
        def call(*facts: Any) -> None:  # noqa: ANN401 - each callback has its own
            try:
                self._calls.put_nowait((name, brought, facts))
                self.start()
            except (Full, RuntimeError) as error:  # the latter: no thread can be had
                if not self._is_full:
                    logger.warning(
                        "app_callback_left_out group=%s callback=%s why=%r",
                        self._group, name, str(error) or "it does not return",
                    )  # fmt: skip
                self._is_full = True
            else:
                self._is_full = False

        return call

    def _run(self) -> None:
        while True:
            name, brought, facts = self._calls.get()
            try:
                brought(*facts)
            except BaseException as error:  # noqa: BLE001 - the app's, not ours
                logger.warning(
                    "app_callback_failed group=%s callback=%s error=%s",
                    self._group, name, shown(error),
                )  # fmt: skip
