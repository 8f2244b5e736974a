"""An app's token callback, with a real broker that wants tokens."""

from __future__ import annotations

from collections.abc import Callable

from swarm_worker.app.app import App
from swarm_worker.app.batch import Batch
from swarm_worker.kafka.topic_ids import topic_id_in
from tests.awaits import await_committed
from tests.kafka.admin import Admin
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import QUICK, Node, produce, settings, unique
from tests.kafka.tokens import BY_TOKEN, TAKES_TOKENS, new_token


def test_the_consumer_alone_asks_the_app_for_tokens(
    own_kafka: Callable[..., KafkaBroker],
) -> None:
    """The clients beside it, of dead letters and of topic ids, are given its last one.

    A callback that hangs in one of theirs would leave the node without it for ever,
    and healthy.
    """
    kafka = own_kafka(**TAKES_TOKENS)
    name = kafka.create_topic(unique("tokens"), 1)
    letters = kafka.create_topic(f"{name}.dlq", 1)
    app, asked = App(group=name), []

    @app.topic(name, max_retries=0, dead_letter=letters, dead_letter_after=0)
    def handle(batch: Batch) -> None:
        raise LookupError(f"no such account: {batch.topic}")

    @app.configure_consumer
    def connection() -> dict[str, object]:
        return {"oauth_cb": token}

    def token(config: object) -> tuple[str, float]:
        asked.append(config)
        return new_token()

    produce(kafka.bootstrap, name, 1)
    with Node(app, settings(kafka.sasl_bootstrap, kafka={**QUICK, **BY_TOKEN})) as node:
        await_committed(kafka, name, name, {0: 1})
        assert node.snapshot.dead_letters == 1
        assert len(asked) == 1
    (_, metadata) = Admin(kafka.bootstrap).commits(name, name)[0]
    assert topic_id_in(metadata) is not None
