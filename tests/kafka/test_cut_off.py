"""A client that has forgotten all brokers is replaced: it would never look again."""

from __future__ import annotations

import pytest

from swarm_worker.app.app import App
from swarm_worker.app.batch import Batch
from tests.eventually import eventually
from tests.kafka.forgetful import ForgetfulBroker
from tests.kafka.nodes import Node, settings

# librdkafka's default loses its brokers by this only now and then (3 of 40 times, 8 of
# 40 with a metadata.recovery.rebootstrap.trigger.ms of 10 s), this strategy each time.
FORGETS = {"metadata.recovery.strategy": "none"}


@pytest.mark.timeout(90)
def test_a_client_that_has_lost_all_its_brokers_is_replaced(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One answer without brokers, from one that starts, was the end of it."""
    app = App(group="cut-off")

    @app.topic("t")
    def handle(batch: Batch) -> None:
        del batch

    with ForgetfulBroker("t") as broker:
        told = settings(broker.bootstrap, kafka=FORGETS)
        with Node(app, told) as node:
            eventually(lambda: node.snapshot.brokers_up, describe="a broker")
            broker.names_itself = False
            broker.cut()
            assert broker.forgot.wait(20)

            eventually(
                lambda: "client_replaced group=cut-off" in caplog.text,
                within_s=40,
                describe="another client",
            )
            eventually(
                lambda: node.snapshot.brokers_up, within_s=20, describe="a broker again"
            )

            assert node.snapshot.no_broker_ms is None
            assert node.failures == []
