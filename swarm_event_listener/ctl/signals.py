"""Which processes may be signalled: a signal's default action would end the others."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Final

from swarm_event_listener.ctl.session import CallRefused, Session
from swarm_event_listener.ctl.sources.state import ListenerStatus
from swarm_event_listener.ctl.view.table import Process

_CAUGHT: Final = re.compile(r"^SigCgt:\s*([0-9a-f]+)$", re.MULTILINE)
_HARMLESS: Final = frozenset({"CONT"})


def catches(pid: int, signal_name: str) -> bool | None:
    """Tell whether a process has a handler for a signal, or takes no harm from it.

    Args:
        pid: The process.
        signal_name: Such as TTIN.

    Returns:
        None where that cannot be told, as without /proc.
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


def refusal(
    session: Session, process: Process, status: ListenerStatus | None, signal_name: str
) -> str | None:
    """Tell why a process must not get a signal; None when it may."""
    node = status.nodes.get(process.name) if status else None
    if process.pid is None:
        return f"not running, it is {process.state}"
    is_known = node is not None and node.get("known")
    if node is None or not is_known or node.get("pid") != process.pid:
        if status is None or status.is_stale:
            return (
                "whether it has reported is not known, see swarm status: "
                f"SIG{signal_name} might end it"
            )
        return f"it has not reported yet: SIG{signal_name} might end it"
    if session.sources.catches(process.pid, signal_name) is False:
        return f"its process has no handler for SIG{signal_name}"
    return None


def send(
    session: Session, process: Process, status: ListenerStatus | None, signal_name: str
) -> str | None:
    """Signal a process; give why not, or None."""
    why = refusal(session, process, status, signal_name)
    if why is None:
        try:
            session.supervisord.signal(process.name, signal_name)
        except CallRefused as answer:
            return f"ERROR ({answer.why})"
    return f"ERROR ({why})" if why else None
