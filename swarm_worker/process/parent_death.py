"""What ties a node to its supervisord: when that ends, so does the node.

A node that lives on would be a second one beside its successor, which the next
supervisord starts.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # Source: linux/prctl.h


class Leash:
    """Ties the process to the parent it has when this is made.

    On Linux the kernel KILLs the node when its parent ends, whatever the node is
    doing. The request is tied to the thread that makes it: call it on the main one.
    Elsewhere, and where the parent ended before the request, `is_cut` tells.
    """

    def __init__(self) -> None:
        self._parent_pid = os.getppid()
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    @property
    def is_cut(self) -> bool:
        """Tell whether the parent has ended."""
        return os.getppid() != self._parent_pid
