"""What a node tells of itself, and what that changes for it."""

from __future__ import annotations

from dataclasses import replace

from swarm_event_listener.core import log_events as lines
from swarm_event_listener.core.model.events import Action, Reported
from swarm_event_listener.core.model.pacing import Pace
from swarm_event_listener.core.node import Node, has_recovered, reported, suspect_of
from swarm_event_listener.core.restart import lifecycle


def heard(
    before: Node, event: Reported, pace: Pace, *, now_s: float
) -> tuple[Node, tuple[Action, ...]]:
    """Return the node with its report, and what follows for its restart.

    A message that is known to have killed only by what it left is named.
    """
    node = reported(before, event, now_s=now_s)
    said: tuple[Action, ...] = ()
    if node.failures is not before.failures:
        until_then = replace(before, failures=before.failures[:-1])
        message, known = suspect_of(node, pace), suspect_of(until_then, pace)
        if message not in {None, known}:
            said = (lines.suspected(node, message),)
        restart = node.restart
        if restart is not None and restart.record.suspect is None:
            record = replace(restart.record, suspect=message)
            node = replace(node, restart=replace(restart, record=record))
    if not has_recovered(node):
        return node, said
    if node.restart is None:
        return replace(node, left_down=None) if node.left_down else node, said
    step = lifecycle.recovered(node.restart, pid=event.pid, now_s=now_s)
    return replace(node, left_down=None, restart=step.restart), (*said, *step.actions)
