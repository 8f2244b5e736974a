"""A thread that its owner starts, waits for, and looks after."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

from swarm_worker.process import stacks


class OwnThread(ABC):
    """Something that works on a thread of its own; it does not keep its process up."""

    def __init__(self, name: str) -> None:
        # Its stack says by this name which thread it is, although Python hangs.
        work = stacks.named(type(self)._run, name)  # noqa: SLF001 - of its own class
        self._thread = threading.Thread(
            target=work, args=(self,), name=name, daemon=True
        )

    def start(self) -> None:
        """Start the thread, unless that was done."""
        if self._thread.ident is None:
            self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of the thread; whether it came."""
        self._thread.join(timeout_s)
        return not self.alive

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @abstractmethod
    def _run(self) -> None: ...
