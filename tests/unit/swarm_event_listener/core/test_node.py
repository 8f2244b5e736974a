"""What is known of a node."""

from __future__ import annotations

import pytest

from swarm_event_listener.core.model.backoff import BackoffPolicy
from swarm_event_listener.core.node import Failure, suspect_of


@pytest.mark.parametrize(
    ("in_flight", "suspect"),
    [
        (("t/0@1", "t/0@7", "t/0@7"), "t/0@7"),
        (("t/0@7",), None),
        (("t/0@7", None), None),
        ((None, None), None),
        (("t/0@7", "t/0@8"), None),
    ],
)
def test_a_message_is_suspect_when_it_was_there_each_time(
    in_flight: tuple[str | None, ...], suspect: str | None
) -> None:
    """The same oldest message at each of the last failures, and no gap between."""
    failures = [Failure(float(at_s), each) for at_s, each in enumerate(in_flight)]

    assert suspect_of(failures, BackoffPolicy(max_restarts=2)) == suspect
