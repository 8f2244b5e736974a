"""What falls ill in a node, how that is brought about, and what it explains.

An illness is a line of the node's script and the statuses with which a restart of it
is right. Scripted nodes only report it; nodes on Kafka have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.faults.schedule import Kind

Illnesses = Mapping[Kind, tuple[dict[str, Any], set[int]]]

REPORTED: Final[Illnesses] = {
    Kind.NODE_SILENT: ({"silent": True}, {-1}),
    Kind.NODE_RAVES: ({"raw": "<!--XSUPERVISOR:BEGIN-->" + "[" * 300}, {-1}),
    Kind.NODE_HANGS: ({"consume_age_ms": 9_000}, {2}),
    Kind.NODE_HANGS_DEAF: ({"consume_age_ms": 9_000, "ignore_term": True}, {2}),
    Kind.NODE_STOPS_POLLING: ({"poll_age_ms": 9_000}, {1}),
    Kind.NODE_HANGS_LISTENER_DIES: ({"consume_age_ms": 9_000}, {2}),
    Kind.NODE_EXITS: ({"exit": 1}, set()),
}

# What a handler can do to its node; see `tests.faults.ledger_app`.
REAL: Final[Illnesses] = {
    Kind.NODE_SILENT: ({"fault": "hold_gil"}, {-1}),
    Kind.NODE_RAVES: ({"fault": "forge"}, set()),
    Kind.NODE_HANGS: ({"fault": "hang"}, {2}),
    Kind.NODE_HANGS_DEAF: ({"fault": "hang"}, {2}),
    Kind.NODE_STOPS_POLLING: ({"fault": "hold_gil"}, {-1}),
    Kind.NODE_HANGS_LISTENER_DIES: ({"fault": "hang"}, {2}),
    Kind.NODE_EXITS: ({"fault": "exit"}, set()),
}
