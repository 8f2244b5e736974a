"""A broker that is away, dead, frozen, or does not want us; real Kafka."""

from collections.abc import Callable

import pytest

from swarm_worker.app.app import App
from swarm_worker.app.batch import Batch
from tests.awaits import await_committed
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import (
    PROTOCOLS,
    QUICK,
    Gate,
    Node,
    Seen,
    lines_of,
    produce,
    settings,
    unique,
)

OwnKafka = Callable[..., KafkaBroker]


@pytest.mark.parametrize("protocol", ["eager", "consumer"])
def test_broker_killed_and_back(
    own_kafka: OwnKafka, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Absent at boot, killed under load: one line each, no end of the node, 0 lost."""
    log = lines_of(caplog)
    kafka = own_kafka()
    name = kafka.create_topic(unique("killed"), 2)
    produce(kafka.bootstrap, name, 100)
    kafka.kill()
    app, seen = App(group=name), Seen()
    app.topic(name, max_messages=10)(seen)
    with Node(app, settings(kafka.bootstrap, kafka=PROTOCOLS[protocol])) as node:
        eventually(lambda: log("kafka_trouble ", name), describe="it is said")
        eventually(lambda: node.snapshot.brokers_up == 0, describe="so is the report")
        polls = node.monitor.polls
        eventually(lambda: node.monitor.polls > polls + 15, describe="some statistics")
        assert node.snapshot.unsteady_ms is None, "the group waits for a broker only"
        kafka.start()
        await_committed(kafka, name, name, {0: 100}, within_s=30.0)
        eventually(lambda: log("kafka_trouble_over", name), describe="it is over")
        kafka.kill()
        eventually(lambda: len(log("kafka_trouble ", name)) == 2, describe="it is said")
        eventually(lambda: node.snapshot.brokers_up == 0, describe="so is the report")
        down = node.snapshot
        assert (down.unsteady_ms, down.stalled_ms) == (None, None)
        kafka.start()
        produce(kafka.bootstrap, name, 100, partition=1)
        await_committed(kafka, name, name, {0: 100, 1: 100}, within_s=30.0)
        assert (node.failures, node.consumers[0].alive) == ([], True)
        eventually(
            lambda: len(log("kafka_trouble_over", name)) == 2, describe="both are over"
        )
    assert set(seen.offsets) == {(p, o) for p in range(2) for o in range(100)}
    told = len(log("kafka_trouble ", name)), log("FAIL")
    assert told == (2, []), "no line for each attempt"


def test_stop_while_the_broker_is_away(own_kafka: OwnKafka) -> None:
    """A node that cannot commit still ends in time; what was not committed repeats."""
    kafka = own_kafka()
    name = kafka.create_topic(unique("away"), 1)
    app, gate = App(group=name), Gate()
    app.topic(name)(gate)
    for away in (kafka.freeze, kafka.kill):
        produce(kafka.bootstrap, name, 1)
        node = Node(app, settings(kafka.bootstrap, shutdown_timeout_s=5.0)).start()
        entered = len(gate.entered)
        gate.open.clear()
        gate.await_entered(entered + 1)
        away()
        gate.open.set()
        assert node.stop() < 5.0
        kafka.thaw()


def test_frozen_broker(own_kafka: OwnKafka, caplog: pytest.LogCaptureFixture) -> None:
    """TCP open and no answers: the node waits, and goes on where it was."""
    log = lines_of(caplog)
    kafka = own_kafka()
    name = kafka.create_topic(unique("frozen"), 1)
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)
    # Given up after 2 s, where the default of 60 s is too long for a test.
    told = settings(kafka.bootstrap, kafka={**QUICK, "socket.timeout.ms": 2_000})
    with Node(app, told) as node:
        produce(kafka.bootstrap, name, 10)
        await_committed(kafka, name, name, {0: 10})
        kafka.freeze()
        eventually(
            lambda: node.snapshot.brokers_up == 0,
            within_s=20.0,
            describe="the client has given up its connection",
        )
        frozen = node.snapshot
        assert (frozen.unsteady_ms, frozen.stalled_ms) == (None, None)
        kafka.thaw()
        produce(kafka.bootstrap, name, 10, first=10)
        await_committed(kafka, name, name, {0: 20}, within_s=30.0)
        assert node.failures == []
    assert set(seen.offsets) == {(0, o) for o in range(20)}
    assert len(log("kafka_trouble ", name)) <= 2


def test_refused_credentials(
    own_kafka: OwnKafka, caplog: pytest.LogCaptureFixture
) -> None:
    """No crash, no crash loop, one line that says where to look; right ones work."""
    log = lines_of(caplog)
    kafka = own_kafka(sasl_users={"anna": "right"})
    name = kafka.create_topic(unique("sasl"), 1)
    produce(kafka.bootstrap, name, 1)
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)

    def told(password: str) -> dict[str, object]:
        return {
            **QUICK,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "anna",
            "sasl.password": password,
        }

    bootstrap = kafka.sasl_bootstrap
    with Node(app, settings(bootstrap, kafka=told("wrong"))) as node:
        eventually(lambda: log("kafka_trouble ", name), describe="it is said")
        polls = node.monitor.polls
        eventually(lambda: node.monitor.polls > polls + 20, describe="it goes on")
        lines = [line for line in log("kafka_trouble ", name) if "credentials" in line]
        assert len(lines) == 1
        assert "sasl" in lines[0]
        assert "wrong" not in "".join(log(""))
        assert node.failures == []
        assert node.snapshot.unsteady_ms is None
    with Node(app, settings(bootstrap, kafka=told("right"))):
        await_committed(kafka, name, name, {0: 1})


def test_unknown_property_is_a_configuration_error(kafka: KafkaBroker) -> None:
    """Exit 78 with librdkafka's own words."""
    app = App(group="any")
    app.topic("any")(Seen())
    told = settings(kafka.bootstrap, kafka={"sesion.timeout.ms": 1})
    with Node(app, told) as node:
        eventually(lambda: node.failures, describe="the node is told")
        assert node.failures[0].exit_code == 78
        assert "sesion.timeout.ms" in str(node.failures[0])


def test_crash_of_the_poll_thread_shows(kafka: KafkaBroker) -> None:
    """A poll thread that dies of a bug is not alive; one that hangs ages."""
    name = kafka.create_topic(unique("wedged"), 1)
    app, wedge = App(group=name), Gate()

    @app.topic(name)
    def handle(batch: Batch) -> None: ...

    with Node(app, settings(kafka.bootstrap)) as node:
        node.await_assigned(1)  # which comes within the first poll
        eventually(lambda: node.snapshot.poll_age_ms is not None, describe="a poll")
        node.monitor.polled = lambda: wedge.open.wait(20.0)  # type: ignore[method-assign,assignment]
        produce(kafka.bootstrap, name, 1)
        eventually(
            lambda: (node.snapshot.poll_age_ms or 0) > 1_000, describe="polls age"
        )
        wedge.open.set()
