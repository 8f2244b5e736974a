"""What happens to the broker."""

from __future__ import annotations

import time
from typing import Final

from tests.awaits import await_seconds
from tests.eventually import eventually
from tests.faults.schedule import Fault
from tests.faults.stage import Stage
from tests.kafka.ledgered import answers

AWAY_S: Final = 0.5  # beyond what its start takes
# A client that is refused waits this long before it tries again, then looks for its
# coordinator: reconnect.backoff.max.ms with 20 % more at random, and one question.
FOUND_AGAIN_S: Final = 1.0


def kill(stage: Stage, _fault: Fault) -> str:
    """Kill it, and start it again."""
    kafka, ledger = stage.kafka, stage.ledger
    assert kafka is not None
    assert ledger is not None
    stage.undo()  # it takes longer than any nap
    began_s = time.monotonic()
    kafka.kill()
    await_seconds(AWAY_S)
    kafka.start()
    eventually(
        lambda: answers(kafka, ledger.group, ledger.topic),
        within_s=30.0,
        describe="the coordinator answers",
    )
    stage.book.outages.append((began_s, time.monotonic() + FOUND_AGAIN_S))
    return f"for {time.monotonic() - began_s:.1f} s"
