"""The watch on a node's parent, supervisord: when that ends, so does the node.

A node that lived on would be a second one beside its successor, which the next
supervisord starts.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # Source: linux/prctl.h


def is_supervised(environ: Mapping[str, str]) -> bool:
    """Whether supervisord has started this process."""
    return environ.get("SUPERVISOR_ENABLED") == "1"


class ParentWatch:
    """Watches the parent that the process has when this is made.

    On Linux the kernel KILLs the node when its parent exits, whatever the node is
    doing. The request ends with the thread that makes it: make this on the main one.
    Elsewhere, and where the parent exited before the request, ask `has_exited`.
    """

    def __init__(self) -> None:
        self._parent_pid = os.getppid()
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    @property
    def has_exited(self) -> bool:
        """Whether the parent has exited."""
        return os.getppid() != self._parent_pid
