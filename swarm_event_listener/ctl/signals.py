"""Which processes may be signalled: a signal's default action would end the others."""

from __future__ import annotations

from swarm_event_listener.ctl.known.node_rows import is_spare
from swarm_event_listener.ctl.session import Session
from swarm_event_listener.ctl.sources.state import ListenerStatus
from swarm_event_listener.ctl.sources.supervisord import CallRefused, Process


def refusal(
    session: Session, process: Process, status: ListenerStatus | None, signal_name: str
) -> str | None:
    """Return why a process must not get a signal; None when it may."""
    node = status.nodes.get(process.name) if status else None
    if is_spare(process, status):
        return f"a spare: not needed, and down; swarm scale {process.group} tells more"
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
    """Signal a process; return why not, or None."""
    why = refusal(session, process, status, signal_name)
    if why is None:
        try:
            session.supervisord.signal(process.name, signal_name)
        except CallRefused as answer:
            return f"ERROR ({answer.why})"
    return f"ERROR ({why})" if why else None
