"""A broker that is away, for longer than any limit: no rule restarts a node for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.awaits import await_reports, await_seconds
from tests.kafka.broker import KafkaBroker
from tests.kafka.ledgered import NODES, supervised

OwnKafka = Callable[..., KafkaBroker]

pytestmark = pytest.mark.process

# All limits of a scene are 4 or 5 s; restarts are judged twice a second.
AWAY_S = 9.0


@pytest.mark.timeout(240)
def test_broker_absent_killed_and_frozen(own_kafka: OwnKafka) -> None:
    """Absent at boot, killed under load, TCP open without answers: 0 restarts, 0 lost.

    No outage is longer than a session, so nothing is repeated either.
    """
    kafka = own_kafka()
    with supervised(kafka, max_messages=50, absent=kafka.kill) as swarm:
        await_reports(swarm.swarm, NODES)
        await_seconds(AWAY_S)
        pids = swarm.pids()
        assert None not in pids.values()
        kafka.start()
        swarm.await_settled()
        with swarm.ledger.producing(per_s=300):
            swarm.await_work(*range(NODES))
            kafka.kill()
            await_seconds(AWAY_S)
            assert swarm.swarm.records() == []
            kafka.start()
            swarm.await_work(*range(NODES))
            kafka.freeze()
            await_seconds(AWAY_S)
            kafka.thaw()
            swarm.await_work(*range(NODES))
        assert swarm.unharmed(pids).duplicates == []


@pytest.mark.timeout(240)
def test_outage_longer_than_the_session_ends_no_node(own_kafka: OwnKafka) -> None:
    """Killed under load until all sessions are over: the same processes go on.

    A commit of the session that is over reaches Kafka after the node has joined anew:
    Kafka answers that the member was fenced, by none other than itself. What the nodes
    did in the outage was lost with their sessions, and is repeated.
    """
    kafka = own_kafka()
    with supervised(kafka, session_ms=6_000, sleep_ms=2, max_messages=5) as swarm:
        swarm.await_settled()
        pids = swarm.pids()
        with swarm.ledger.producing(per_s=600):
            for _ in range(2):
                swarm.await_work(*range(NODES))
                kafka.kill()
                await_seconds(5.0)  # and what Kafka takes to start
                kafka.start()
            swarm.await_work(*range(NODES))
        swarm.unharmed(pids)
        ended = [swarm.log(node).count("SESSTMOUT") for node in range(NODES)]
        assert min(ended) > 0, f"sessions that were over, by node: {ended}"
