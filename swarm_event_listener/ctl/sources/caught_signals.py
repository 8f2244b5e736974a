"""Which signals a process has handlers for."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Final

_CAUGHT: Final = re.compile(r"^SigCgt:\s*([0-9a-f]+)$", re.MULTILINE)
_HARMLESS: Final = frozenset({"CONT"})


def catches(pid: int, signal_name: str) -> bool | None:
    """Whether a process has a handler for a signal (TTIN), or takes no harm from it.

    None where that is not known, as without /proc.
    """
    if signal_name in _HARMLESS:
        return True
    try:
        text = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
    except OSError:
        return None
    match = _CAUGHT.search(text)
    if match is None:
        return None
    number = signal.Signals[f"SIG{signal_name}"].value
    return bool(int(match[1], 16) >> (number - 1) & 1)
