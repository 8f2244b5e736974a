"""A message that kills its process, under supervisord; on real Kafka."""

import pytest

from tests.awaits import await_records
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import produce, unique
from tests.kafka.supervised import deadly_swarm, deaths, handled
from tests.kafka.test_failures import produce_value, reading
from tests.process.scenes import ctl, supervisorctl
from tests.process.swarms import Swarm

LIMITS = {
    "max_restarts": 2,
    "restart_period": 120_000,
    "restart_backoff_max": 2_000,
}


@pytest.mark.parametrize(("by", "after_s"), [("exit", "0"), ("kill", "1.5")])
def test_deadly_message_harms_its_partition_only(
    kafka: KafkaBroker, by: str, after_s: str
) -> None:
    """Its node is paced and tried again; other nodes go on; it is never passed over.

    Where reports showed it in flight, a record names it.
    """
    name = kafka.create_topic(unique("deadly"), 2)
    produce(kafka.bootstrap, name, 3, partition=0)
    produce_value(kafka, name, b"die")
    produce(kafka.bootstrap, name, 3, partition=0, first=4)
    with deadly_swarm(kafka, name, limits=LIMITS, BY=by, AFTER=after_s) as swarm:
        for round_number in (1, 2, 3):
            await_deaths(swarm, 2 * round_number)
            goes_on(kafka, name, swarm, count=100 * round_number)
        assert {place[:2] for place in deaths(swarm)} == {(0, 3)}
        assert not [place for place in handled(swarm) if place[0] == 0 and place[1] > 3]
        paced = await_records(swarm)  # of back-off
        assert {record["cause"] for record in paced} == {"exited"}
        assert "died again" in paced[0]["reason"]
        if by == "kill":
            assert paced[-1]["suspect"] == f"{name}/0@3"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("by", ["kill", "exit", "hang"])
def test_deadly_message_with_a_dead_letter_topic_is_given_up(
    kafka: KafkaBroker, by: str
) -> None:
    """After the third death in a row; nothing else is, and all else is handled.

    After the fourth, where the third had nothing to show that the handler works.
    Four partitions are worked on at once: each has a batch in flight as it dies first.
    """
    name = kafka.create_topic(unique("deadly"), 4)
    letters = kafka.create_topic(f"{name}.dlq", 1)
    counts = {0: 7, 1: 20, 2: 20, 3: 20}
    produce(kafka.bootstrap, name, 3, partition=0)
    produce_value(kafka, name, b"die")
    produce(kafka.bootstrap, name, 3, partition=0, first=4)
    for partition in (1, 2, 3):
        produce(kafka.bootstrap, name, counts[partition], partition=partition)
    with deadly_swarm(
        kafka, name, nodes=1, concurrency=4, limits=LIMITS,
        BY=by, AFTER="0.3", EACH="0.2", LETTERS=letters,
    ) as swarm:  # fmt: skip
        eventually(
            lambda: kafka.committed(name, name) == counts,
            within_s=100.0,
            describe="all is done",
        )
        assert {place[:2] for place in deaths(swarm)} == {(0, 3)}
        count = len(deaths(swarm))
        assert count in {3, 4}, "the first call, and max_retries"
        done = {place[:2] for place in handled(swarm)}
        wanted = {(p, o) for p, count in counts.items() for o in range(count)}
        assert done == wanted - {(0, 3)}
    with reading(kafka, letters) as read:
        letter = read()
    headers = {str(header[0]): header[1] for header in letter.headers() or []}
    assert letter.value() == b"die"
    assert headers["swarm.origin.offset"] == b"3"
    assert headers["swarm.attempts"] == str(count).encode()
    assert (
        headers["swarm.error.type"]
        == b"swarm_worker.processing.poison.ProcessDiedError"
    )
    assert kafka.end_offsets(letters) == {0: 1}


@pytest.mark.timeout(180)
def test_what_kills_whatever_the_message_puts_none_aside(kafka: KafkaBroker) -> None:
    """A library that crashes while its server is away: all is handled afterwards."""
    name = kafka.create_topic(unique("deadly"), 2)
    letters = kafka.create_topic(f"{name}.dlq", 1)
    for partition in (0, 0, 0, 1, 1):
        produce_value(kafka, name, b"die", partition=partition)
    with deadly_swarm(
        kafka, name, nodes=1, limits=LIMITS, BY="outage", LETTERS=letters
    ) as swarm:
        await_deaths(swarm, 9)
        assert kafka.committed(name, name) == {}
        (swarm.daemon.folder / "mended").touch()
        eventually(
            lambda: kafka.committed(name, name) == {0: 3, 1: 2},
            within_s=60.0,
            describe="all is done",
        )
        done = {place[:2] for place in handled(swarm)}
        assert done == {(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)}
    assert kafka.end_offsets(letters) == {0: 0}


@pytest.mark.timeout(180)
def test_two_deadly_messages_of_a_node_are_both_given_up(kafka: KafkaBroker) -> None:
    """In two partitions: while the one kills, the other's count is kept."""
    name = kafka.create_topic(unique("deadly"), 2)
    letters = kafka.create_topic(f"{name}.dlq", 1)
    for partition in (0, 1):
        produce(kafka.bootstrap, name, 25, partition=partition)
        produce_value(kafka, name, b"die", partition=partition)
        produce(kafka.bootstrap, name, 5, partition=partition, first=26)
    with deadly_swarm(kafka, name, nodes=1, limits=LIMITS, LETTERS=letters) as swarm:
        eventually(
            lambda: kafka.committed(name, name) == {0: 31, 1: 31},
            within_s=120.0,
            describe="all is done",
        )
        assert {place[:2] for place in deaths(swarm)} == {(0, 25), (1, 25)}
        done = {place[:2] for place in handled(swarm)}
        assert done == {(p, o) for p in (0, 1) for o in range(31) if o != 25}
    assert kafka.end_offsets(letters) == {0: 2}


@pytest.mark.timeout(120)
def test_a_slow_message_is_not_given_up_for_the_stops_that_it_outlives(
    kafka: KafkaBroker,
) -> None:
    """An operator restarts the node again and again, each time it ends with exit 2."""
    name = kafka.create_topic(unique("slow"), 1)
    letters = kafka.create_topic(f"{name}.dlq", 1)
    produce_value(kafka, name, b"slow")
    trace = f" {name} {name} 0 0 1 "
    told = {"consuming_ttl": 60_000, "max_restarts": 100}
    with deadly_swarm(
        kafka, name, nodes=1, limits=told, EACH="12", LETTERS=letters
    ) as swarm:
        for _ in range(4):
            pid = swarm.pid(0)
            eventually(lambda: trace in slot_text(swarm), describe="it is in hand")
            supervisorctl(swarm, "restart", swarm.name(0))
            assert swarm.pid(0) != pid
        eventually(
            lambda: kafka.committed(name, name) == {0: 1},
            within_s=30.0,
            describe="it is handled",
        )
        assert swarm.daemon.file("w_00.log").count("shutdown_timeout_exceeded") == 4
    assert kafka.end_offsets(letters) == {0: 0}


def test_a_message_that_raises_is_seen_until_it_is_mended(kafka: KafkaBroker) -> None:
    """Its node is not healthy, and not restarted; a roll does not wait for it."""
    name = kafka.create_topic(unique("raises"), 2)
    produce(kafka.bootstrap, name, 3, partition=0)
    produce_value(kafka, name, b"die")
    with deadly_swarm(kafka, name, nodes=1, limits=LIMITS, BY="raise") as swarm:
        line = f"{name}/0@3 fails: ValueError('no price'), "
        told = eventually(
            lambda: exits_with(swarm, 1), within_s=60.0, describe="status exits with 1"
        )
        assert "1 failing" in told
        assert line in told
        goes_on(kafka, name, swarm, count=100)
        pid = swarm.pid(0)

        rolled = supervisorctl(swarm, "swarm", "roll", "w")
        assert "roll done" in rolled
        assert line in rolled
        assert swarm.pid(0) != pid
        assert {record["cause"] for record in swarm.records()} == {"roll"}

        (swarm.daemon.folder / "mended").touch()
        eventually(
            lambda: kafka.committed(name, name) == {0: 4, 1: 100},
            within_s=60.0,
            describe="the message is done",
        )
        eventually(
            lambda: " fails: " not in (exits_with(swarm, 0) or line),
            within_s=30.0,
            describe="all is well again",
        )


def exits_with(swarm: Swarm, code: int) -> str:
    """Give what ``swarm status`` says if it exits with this; else nothing."""
    done = ctl(swarm, "swarm", "status")
    return done.stdout if done.returncode == code else ""


def slot_text(swarm: Swarm) -> str:
    """Return what stands in the file of the node's slot."""
    paths = (swarm.daemon.folder / "slots").glob("*.slot")
    return "".join(path.read_text("utf-8") for path in paths)


def await_deaths(swarm: Swarm, count: int) -> None:
    """Wait until so many processes have died of the message."""
    eventually(
        lambda: len(deaths(swarm)) >= count,
        within_s=60.0,
        describe=f"{count} deaths",
    )


def goes_on(kafka: KafkaBroker, name: str, swarm: Swarm, *, count: int) -> None:
    """See the other partition worked off by one and the same process."""
    produce(kafka.bootstrap, name, 100, partition=1, first=count - 100)
    eventually(
        lambda: kafka.committed(name, name).get(1) == count,
        within_s=20.0,
        describe=f"{count} messages of the other partition are committed",
    )
    assert kafka.committed(name, name).get(0, 0) <= 3
    assert len({pid for partition, _, pid in handled(swarm) if partition == 1}) == 1
