"""An operator's words, and what only looks like them."""

from __future__ import annotations

import pytest

from swarm_event_listener.core.model.events import (
    Ordered,
    OrderKind,
    RollCancelled,
    RollOrdered,
)
from swarm_event_listener.supervisord.operator_commands import (
    OrderError,
    decode,
    encode,
    encode_roll,
    encode_roll_cancel,
)
from swarm_event_listener.supervisord.protocol import RemoteCommand


def test_what_is_sent_is_what_arrives() -> None:
    """Each word of the command line reaches the core as it was meant."""
    roll = RollOrdered(group="w", max_unavailable=2, timeout_s=7.5, ordered_at_s=9.5)

    assert decode(encode(OrderKind.HOLD, ["w:a"])) == (
        Ordered(kind=OrderKind.HOLD, names=("w:a",)),
    )
    assert decode(encode(OrderKind.RELEASE, ["w:*"])) == (
        Ordered(kind=OrderKind.RELEASE, names=("w:*",)),
    )
    assert decode(encode_roll(roll)) == (roll,)
    assert decode(encode_roll(RollOrdered(group="w"))) == (RollOrdered(group="w"),)
    assert decode(encode_roll_cancel("w")) == (RollCancelled(group="w"),)


def test_other_events_are_no_orders() -> None:
    """REMOTE_COMMUNICATION is anybody's."""
    assert decode(RemoteCommand("swarm.node.stopping", "{")) == ()


@pytest.mark.parametrize(
    ("event_type", "data"),
    [
        ("swarm.hold", "{"),
        ("swarm.hold", "[" * 100_000),
        ("swarm.hold", '"w"'),
        ("swarm.hold", "[1]"),
        ("swarm.roll_cancel", "{}"),
        ("swarm.roll", "[]"),
        ("swarm.roll", "{}"),
        ("swarm.roll", '{"group": 1}'),
        ("swarm.roll", '{"group": "w", "max_unavailable": 0}'),
        ("swarm.roll", '{"group": "w", "max_unavailable": 1e999}'),
        ("swarm.roll", '{"group": "w", "max_unavailable": null}'),
        ("swarm.roll", '{"group": "w", "timeout_s": 0}'),
        ("swarm.roll", '{"group": "w", "timeout_s": 1e999}'),
        ("swarm.roll", '{"group": "w", "timeout_s": NaN}'),
        ("swarm.roll", '{"group": "w", "ordered_at_s": NaN}'),
        ("swarm.roll", '{"group": "w", "timeout_s": "nan"}'),
        ("swarm.roll", '{"group": "w", "timeout_s": "inf"}'),
        ("swarm.roll", '{"group": "w", "ordered_at_s": "nan"}'),
        ("swarm.roll", '{"group": "w", "ordered_at_s": "inf"}'),
        ("swarm.roll", '{"group": "w", "timeout_s": ' + "9" * 400 + "}"),
    ],
)
def test_what_cannot_be_understood_is_refused(event_type: str, data: str) -> None:
    """And ends nobody: supervisord would repeat it to each next listener."""
    with pytest.raises(OrderError):
        decode(RemoteCommand(event_type, data))


@pytest.mark.parametrize(
    "data",
    [
        '{"group": "w"}',
        '{"group": "w", "unknown": [1]}',
        '{"group": "w", "max_unavailable": "1", "timeout_s": 300}',
    ],
)
def test_a_roll_of_another_version_is_read(data: str) -> None:
    """What is missing has its default, what is unknown says nothing."""
    assert decode(RemoteCommand("swarm.roll", data)) == (RollOrdered(group="w"),)
