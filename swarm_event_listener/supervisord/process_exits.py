"""Processes that were told to end, and the moment when they have.

supervisord looks for dead children once in each turn of its loop. The end of a child
closes its pipes, which wakes that loop, but often a moment before the child can be
waited for; the next turn comes up to a second later, and a second is twice what a
restart takes. The kernel tells of the end itself; any call then wakes supervisord.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Container


class Exits:
    """Descriptors that become readable when a process has ended (Linux 5.3)."""

    def __init__(self) -> None:
        """Await nothing."""
        self._pids: dict[int, int] = {}  # by descriptor

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What to wait for; readable when its process has ended."""
        return tuple(self._pids)

    def await_end(self, pid: int) -> None:
        """Await the end of a process, where the platform can tell of it."""
        if sys.platform != "linux" or pid in self._pids.values():
            return
        try:
            self._pids[os.pidfd_open(pid)] = pid
        except (AttributeError, OSError):
            # Python was built without it, the process is gone, or no descriptor is
            # left: supervisord finds out.
            return

    def take(self, ready: Container[int]) -> bool:
        """Await those no longer that have ended; return whether there were any."""
        ended = [descriptor for descriptor in self._pids if descriptor in ready]
        for descriptor in ended:
            del self._pids[descriptor]
            os.close(descriptor)
        return bool(ended)
