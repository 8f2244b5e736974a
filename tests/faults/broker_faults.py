"""What happens to the broker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.awaits import await_seconds
from tests.eventually import eventually
from tests.faults.book import Span
from tests.faults.schedule import Fault
from tests.faults.stage import Stage
from tests.kafka.ledgered import answers

AWAY_S: Final = 0.5  # beyond what its start takes
# A client that is refused waits this long before it tries again, then looks for its
# coordinator: reconnect.backoff.max.ms with 20 % more at random, and one question.
FOUND_AGAIN_S: Final = 1.0
FROZEN_S: Final = (4.0, 9.0, 25.0)  # less than a session, about one, a few
TOPIC_AWAY_S: Final = (0.5, 3.0, 8.0)
OUTAGE_APART_S: Final = 60.0


def kill(stage: Stage, _fault: Fault) -> str:
    """Kill it, and start it again."""
    kafka = stage.kafka
    assert kafka is not None
    stage.undo()  # it takes longer than any nap
    began_s = time.monotonic()
    kafka.kill()
    await_seconds(AWAY_S)
    kafka.start()
    _is_back(stage, began_s)
    return f"for {time.monotonic() - began_s:.1f} s"


def kill_then_freeze(stage: Stage, fault: Fault) -> str:
    """Kill it, start it, and as soon as it answers freeze it for a while."""
    told = kill(stage, fault)
    with frozen(stage):
        await_seconds(frozen_s := fault.pick(FROZEN_S))
    return f"{told}, then frozen for {frozen_s} s"


@contextmanager
def frozen(stage: Stage) -> Iterator[None]:
    """Freeze the broker for as long as the block lasts; it answers when it is over."""
    assert stage.kafka is not None
    began_s = time.monotonic()
    stage.kafka.freeze()
    try:
        yield
    finally:
        stage.kafka.thaw()
    _is_back(stage, began_s)


def _is_back(stage: Stage, began_s: float) -> None:
    kafka, ledger = stage.kafka, stage.ledger
    assert kafka is not None
    assert ledger is not None
    eventually(
        lambda: answers(kafka, ledger.group, ledger.topic),
        within_s=30.0,
        describe="the coordinator answers",
    )
    stage.book.outages.append((began_s, time.monotonic() + FOUND_AGAIN_S))


def make_topic_anew(stage: Stage, fault: Fault) -> str:
    """Delete the topic, and create it again after a while; then comes what was due."""
    kafka, ledger = stage.kafka, stage.ledger
    assert kafka is not None
    assert ledger is not None
    # Outages and new topics are kept apart: delete this line to have them meet.
    _refuse_within(OUTAGE_APART_S, of=stage.book.outages)
    stage.undo()
    began_s, away_s = time.monotonic(), fault.pick(TOPIC_AWAY_S)
    with ledger.era_over():
        kafka.delete_topic(ledger.topic)
        await_seconds(away_s)
        kafka.create_topic(ledger.topic, ledger.partitions)
    stage.book.anews.append((began_s, time.monotonic()))
    return f"away for {away_s} s"


def _refuse_within(apart_s: float, *, of: list[Span]) -> None:
    if any(time.monotonic() < to_s + apart_s for _, to_s in of):
        raise ProcessLookupError("too soon after an outage")
