"""Dead letters: counted, and sent back to where they came from; on real Kafka."""

import json
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined] # lacks __all__
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from swarm_worker.admin.replay import BATCH_MAX
from swarm_worker.admin.topic import DeadLetterTopic
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.dead_letters import Admin, Given, numbered, read_all, write
from tests.kafka.nodes import produce, unique
from tests.kafka.supervised import deadly_swarm
from tests.kafka.test_failures import produce_value
from tests.process.scenes import ctl

ALIKE = "all messages fail alike (ConnectionError)"


@pytest.fixture(name="admin")
def admin_of_the_shared_broker(kafka: KafkaBroker, tmp_path: Path) -> Admin:
    """Return the program."""
    return Admin(tmp_path, {"bootstrap.servers": kafka.bootstrap})


def topics(kafka: KafkaBroker, *, partitions: int = 1) -> tuple[str, str]:
    """Make an origin and its dead-letter topic."""
    name = kafka.create_topic(unique("orders"), partitions)
    return name, kafka.create_topic(f"{name}.dlq", 2)


def keys(kafka: KafkaBroker, topic: str) -> Counter[bytes | None]:
    """Return how often each key stands in a topic."""
    return Counter(message.key() for message in read_all(kafka, topic))


def await_back(
    kafka: KafkaBroker, topic: str, count: int, *, every_s: float = 0.05
) -> None:
    """Wait until so many messages stand in the origin."""
    eventually(
        lambda: kafka.end_offsets(topic)[0] >= count,
        within_s=30.0,
        every_s=every_s,
        describe=f"{count} are back",
    )


# --- what goes back -------------------------------------------------------------------


def test_messages_go_back_as_they_were(kafka: KafkaBroker, admin: Admin) -> None:
    """Key, value, headers, partition; a header counts, and the time is that of now."""
    name, letters = topics(kafka, partitions=3)
    odd = [("trace", b"\x00\xff"), ("trace", None), ("empty", b"")]
    given = [
        Given(topic=name, partition=2, key=b"k", headers=odd),
        Given(topic=name, partition=1, key=b"", value=b""),
        Given(topic=name, partition=0, key=None, value=None),
    ]
    write(kafka, letters, *given)

    assert "replayed 3 of 3" in admin.run("replay", letters)

    back = {message.partition(): message for message in read_all(kafka, name)}
    for each in given:
        message = back[each.partition]
        assert (message.key(), message.value()) == (each.key, each.value)
        assert message.headers() == [*each.headers, ("swarm.replays", b"1")]
        assert message.timestamp()[1] > 1_795_516_543_518


def test_a_partition_that_is_no_more_is_chosen_by_the_key(
    kafka: KafkaBroker, admin: Admin
) -> None:
    """As Kafka's own clients choose it."""
    name, letters = topics(kafka, partitions=3)
    write(kafka, letters, *[Given(topic=name, partition=3, key=b"k") for _ in range(5)])
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap, "partitioner": "murmur2_random"}
    )
    producer.produce(name, b"v", key=b"k")
    assert producer.flush(10.0) == 0

    admin.run("replay", letters)

    places = {message.partition() for message in read_all(kafka, name)}
    assert len(read_all(kafka, name)) == 6
    assert len(places) == 1


def test_what_others_wrote_is_left_and_counted(
    kafka: KafkaBroker, admin: Admin
) -> None:
    """It has no origin to go back to."""
    name, letters = topics(kafka)
    write(kafka, letters, *numbered(name, 2))
    produce_value(kafka, letters, b"not of ours", partition=1)

    assert "no dead letters of a swarm, stay: 1" in admin.run("replay", letters)
    assert json.loads(admin.run("show", letters, "--json"))["foreign"] == 1
    assert keys(kafka, name) == {b"0": 1, b"1": 1}


def test_what_it_causes_is_not_chased(kafka: KafkaBroker, admin: Admin) -> None:
    """It ends where the topic ended when it began, also where it writes to that."""
    letters = kafka.create_topic(unique("circle"), 1)
    write(kafka, letters, *numbered(letters, 700))

    assert "replayed 700 of 700" in admin.run("replay", letters)
    assert kafka.end_offsets(letters) == {0: 1400}


def test_what_comes_meanwhile_is_for_the_next_one(kafka: KafkaBroker) -> None:
    """Only what stood there when the end was looked up is read."""
    name, letters = topics(kafka)
    write(kafka, letters, *numbered(name, 5))
    topic = DeadLetterTopic({"bootstrap.servers": kafka.bootstrap}, letters, None)
    lows, ends = topic.bounds()
    write(kafka, letters, *numbered(name, 5))

    read = list(topic.messages(lows, ends, lambda: False))

    topic.close()
    assert [message.offset() for message in read] == [0, 1, 2, 3, 4]


def test_what_came_back_too_often_stays(kafka: KafkaBroker, admin: Admin) -> None:
    """Until more attempts are given; what was sent is not sent again."""
    name, letters = topics(kafka)
    often: list[tuple[str, Any]] = [("swarm.replays", b"3")]
    write(kafka, letters, Given(topic=name, key=b"often", headers=often))
    write(kafka, letters, Given(topic=name, key=b"new"))

    assert "failed again after --attempts replays, stay: 1" in admin.run(
        "replay", letters
    )
    assert keys(kafka, name) == {b"new": 1}
    admin.run("replay", letters, "--attempts", "4")
    assert keys(kafka, name) == {b"new": 1, b"often": 1}
    (message,) = [m for m in read_all(kafka, name) if m.key() == b"often"]
    assert message.headers() == [("swarm.replays", b"4")]


def test_aborted_dead_letters_are_none(kafka: KafkaBroker, admin: Admin) -> None:
    """What stands behind an open transaction waits; marks are no end and no message."""
    name, letters = topics(kafka)
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap, "transactional.id": unique("tx")}
    )
    producer.init_transactions(20.0)
    for number, ends in enumerate(("abort", "commit", "open")):
        producer.begin_transaction()
        given = Given(topic=name, key=ends.encode(), offset=number)
        producer.produce(letters, partition=0, **given.as_dead_letter())
        assert producer.flush(10.0) == 0
        if ends == "abort":
            producer.abort_transaction(20.0)
        elif ends == "commit":
            producer.commit_transaction(20.0)
    write(kafka, letters, Given(topic=name, key=b"behind"))

    assert "replayed 1 of 1" in admin.run("replay", letters)
    assert keys(kafka, name) == {b"commit": 1}
    producer.commit_transaction(20.0)
    admin.run("replay", letters)
    assert keys(kafka, name) == {b"commit": 1, b"open": 1, b"behind": 1}


# --- filters --------------------------------------------------------------------------


def test_what_a_filter_leaves_out_is_reached_by_another(
    kafka: KafkaBroker, admin: Admin
) -> None:
    """And what one of them has sent is not sent by the next."""
    name, letters = topics(kafka, partitions=2)
    other = kafka.create_topic(unique("refunds"), 1)
    write(
        kafka,
        letters,
        Given(topic=name, partition=0, key=b"value"),
        Given(topic=name, partition=1, key=b"one"),
        Given(topic=name, partition=0, key=b"lookup", error=LookupError()),
        Given(topic=other, key=b"refund"),
    )
    gone = [
        (("--error", "LookupError"), b"lookup", name),
        (("--from-partition", "1"), b"one", name),
        (("--to", other), b"refund", other),
        ((), b"value", name),
    ]
    before: Counter[bytes | None] = Counter()
    for words, key, topic in gone:
        told = json.loads(admin.run("replay", letters, *words, "--json"))
        before[key] += 1
        assert (told["replayed"], told["replayed_to"]) == (1, {topic: 1})
        assert keys(kafka, name) + keys(kafka, other) == before

    shown = json.loads(admin.run("show", letters, "--json"))
    assert (shown["dead_letters"], shown["replayed"], shown["waiting"]) == (4, 4, 0)
    assert "0 dead letters to replay" in admin.run("replay", letters)


def test_a_dry_run_sends_and_commits_nothing(kafka: KafkaBroker, admin: Admin) -> None:
    """It says what would be done, of how much."""
    name = kafka.create_topic(unique("states"), 1, config={"cleanup.policy": "compact"})
    letters = kafka.create_topic(f"{name}.dlq", 2)
    write(kafka, letters, *numbered(name, 9))

    told = admin.run("replay", letters, "--dry-run", "--max", "5")

    assert "9 dead letters to replay, the first 5 now (dry run" in told
    assert f"warning: {name} is compacted" in told
    assert kafka.end_offsets(name) == {0: 0}
    assert kafka.committed(f"swarm-dlq.{letters}", letters) == {}


def test_no_more_than_asked_for_are_sent_and_the_next_goes_on(
    kafka: KafkaBroker, admin: Admin
) -> None:
    """Each once, in their order."""
    name, letters = topics(kafka)
    write(kafka, letters, *numbered(name, 12))

    for _ in range(2):
        assert "replayed 5 of 5" in admin.run("replay", letters, "--max", "5")
    assert "replayed 2 of 2" in admin.run("replay", letters, "--max", "5")

    assert [m.key() for m in read_all(kafka, name)] == [b"%d" % n for n in range(12)]


def test_an_origin_that_is_gone_is_named(kafka: KafkaBroker, admin: Admin) -> None:
    """Nothing is passed over; what came from it may go elsewhere."""
    name, letters = topics(kafka)
    other = kafka.create_topic(unique("other"), 1)
    write(kafka, letters, Given(topic=f"{name}-gone", key=b"k"), Given(topic=name))

    told = admin.run("replay", letters, code=1)
    assert f"there is no topic {name}-gone" in told
    assert f"--to {name}-gone=TOPIC" in told
    assert kafka.end_offsets(name) == {0: 0}
    told = admin.run("replay", letters, "--to", other, code=1)
    assert f"no dead letter of {letters} came from {other}" in told
    admin.run("replay", letters, "--to", f"{name}-gone={other}")
    assert keys(kafka, other) == {b"k": 1}


# --- stopped, killed, refused ---------------------------------------------------------


@pytest.mark.timeout(180)
def test_a_kill_repeats_one_batch_at_most(kafka: KafkaBroker, admin: Admin) -> None:
    """At whatever moment: all are back, and none beyond the batch in hand is twice."""
    name, letters = topics(kafka)
    write(kafka, letters, *numbered(name, 6 * BATCH_MAX))
    kills, ends = 0, 0
    for more in (1, BATCH_MAX // 2, BATCH_MAX - 1, BATCH_MAX + 1):
        with admin.running("replay", letters) as process:
            await_back(kafka, name, ends + more, every_s=0.0005)
            process.kill()
            kills += process.wait() == -signal.SIGKILL
        ends = kafka.end_offsets(name)[0]
        done = kafka.committed(f"swarm-dlq.{letters}", letters)[0]
        sent = [message.key() for message in read_all(kafka, name)]
        ahead = {int(key or b"") for key in sent if int(key or b"") >= done}
        assert len(ahead) <= BATCH_MAX, "only the batch in hand is not committed"
    assert kills == 4, "each came before the end"

    admin.run("replay", letters)

    times = keys(kafka, name)
    assert times.keys() == {b"%d" % n for n in range(6 * BATCH_MAX)}
    assert sum(count - 1 for count in times.values()) <= kills * BATCH_MAX


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_ends_it_at_a_batchs_end(
    kafka: KafkaBroker, admin: Admin, number: signal.Signals
) -> None:
    """What it has sent is committed, so nothing is sent twice; the next one goes on."""
    name, letters = topics(kafka)
    write(kafka, letters, *numbered(name, 100))
    with admin.running("replay", letters, "--rate", "20/s") as process:
        await_back(kafka, name, 21)
        process.send_signal(number)
        told, _ = process.communicate(timeout=20.0)

    assert process.returncode == 1
    assert "ended early; the same command goes on from here" in told
    sent = kafka.end_offsets(name)[0]
    assert 20 < sent < 100
    assert kafka.committed(f"swarm-dlq.{letters}", letters)[0] == sent
    admin.run("replay", letters)
    assert set(keys(kafka, name).values()) == {1}
    assert kafka.end_offsets(name) == {0: 100}


def test_the_next_one_with_the_same_filter_takes_over(
    kafka: KafkaBroker, admin: Admin
) -> None:
    """Two at once would send all twice."""
    name, letters = topics(kafka)
    write(kafka, letters, *numbered(name, 200))
    with admin.running("replay", letters, "--rate", "10/s") as first:
        await_back(kafka, name, 20)
        admin.run("replay", letters)
        told, _ = first.communicate(timeout=20.0)

    assert first.returncode == 1
    assert "another replay with the same filter has begun" in told
    times = keys(kafka, name)
    assert len(times) == 200
    assert sum(times.values()) <= 220


def test_it_waits_while_all_messages_fail_alike(
    kafka: KafkaBroker, tmp_path: Path
) -> None:
    """What it sent would come back; so it ends where that begins meanwhile."""
    status = tmp_path / "status.json"
    admin = Admin(tmp_path, {"bootstrap.servers": kafka.bootstrap}, status=status)
    name, letters = topics(kafka)
    write(kafka, letters, *numbered(name, 100))

    def tell(error: str) -> None:
        failing = [{"at": f"{name}/0@1", "error": error}]
        nodes = [{"node": "w:w_00", "pid": 7, "report": {"failing": failing}}]
        told = {"at_s": time.monotonic(), "nodes": nodes}
        written = status.with_suffix(".new")
        written.write_text(json.dumps(told), "utf-8")
        written.rename(status)

    tell(ALIKE)
    told = admin.run("replay", letters, code=1)
    assert f"{name}: {ALIKE}" in told
    assert "--force" in told
    assert kafka.end_offsets(name) == {0: 0}

    tell("ValueError('no price')")
    with admin.running("replay", letters, "--rate", "20/s") as process:
        await_back(kafka, name, 20)
        tell(ALIKE)
        told, _ = process.communicate(timeout=20.0)
    assert process.returncode == 1
    assert f"{name}: {ALIKE}" in told
    assert 20 <= kafka.end_offsets(name)[0] < 100

    tell(ALIKE)
    admin.run("replay", letters, "--force")
    assert set(keys(kafka, name).values()) == {1}
    assert kafka.end_offsets(name) == {0: 100}


def test_a_message_that_is_refused_holds_up_what_follows(
    kafka: KafkaBroker, admin: Admin
) -> None:
    """It is named; what stands before it is done."""
    name = kafka.create_topic(unique("small"), 1, config={"max.message.bytes": "500"})
    letters = kafka.create_topic(f"{name}.dlq", 2)
    large = Given(topic=name, offset=4711, key=b"large", value=b"x" * 1000)
    write(kafka, letters, *numbered(name, 3), large, *numbered(name, 3))

    told = admin.run("replay", letters, code=1)

    assert f"cannot send {name}/0@4711 back to {name}" in told
    assert kafka.committed(f"swarm-dlq.{letters}", letters) == {0: 3, 1: 0}


@pytest.mark.timeout(180)
def test_what_acls_lack_is_named(
    own_kafka: Callable[..., KafkaBroker], tmp_path: Path
) -> None:
    """One after the other, until it works; to show needs the first alone."""
    kafka = own_kafka(
        sasl_users={"ops": "a-secret"},
        config={
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer."
            "StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        },
    )
    name, letters = topics(kafka)
    write(kafka, letters, *numbered(name, 3))
    credentials = {
        "bootstrap.servers": kafka.sasl_bootstrap,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "ops",
        "sasl.password": "a-secret",
    }
    admin = Admin(tmp_path, credentials)

    def grant(kind: ResourceType, resource: str, operation: AclOperation) -> None:
        rule = AclBinding(
            kind, resource, ResourcePatternType.LITERAL, "User:ops", "*", operation,
            AclPermissionType.ALLOW,
        )  # fmt: skip
        client = AdminClient({"bootstrap.servers": kafka.bootstrap})
        client.create_acls([rule])[rule].result(10.0)
        like = AclBindingFilter(
            kind, resource, ResourcePatternType.LITERAL, "User:ops", "*", operation,
            AclPermissionType.ALLOW,
        )  # fmt: skip
        eventually(
            lambda: client.describe_acls(like).result(10.0), describe="it is in force"
        )

    group = f"swarm-dlq.{letters}"
    for lacking, kind, resource, operation in [
        (f"grant ops READ on topic {letters}",
         ResourceType.TOPIC, letters, AclOperation.READ),
        (f"grant ops READ on group {group}",
         ResourceType.GROUP, group, AclOperation.READ),
        (f"grant ops WRITE on topic {name}",
         ResourceType.TOPIC, name, AclOperation.DESCRIBE),
        (f"grant ops WRITE on topic {name}",
         ResourceType.TOPIC, name, AclOperation.WRITE),
    ]:  # fmt: skip
        assert lacking in admin.run("replay", letters, code=1)
        grant(kind, resource, operation)
        assert "3 dead letters" in admin.run("show", letters)
    admin.run("replay", letters)
    assert keys(kafka, name) == {b"0": 1, b"1": 1, b"2": 1}

    told = Admin(tmp_path, {**credentials, "sasl.password": "b-secret"}).run(
        "show", letters, code=1
    )
    assert "Invalid username or password" in told
    assert "b-secret" not in told


# --- under supervisord ----------------------------------------------------------------


@pytest.mark.timeout(180)
def test_an_operator_sends_back_what_was_mended(kafka: KafkaBroker) -> None:
    """supervisorctl runs it as a node runs; each is handled, and none is left."""
    name, letters = topics(kafka)
    for _ in range(3):
        produce_value(kafka, name, b"die")
        produce(kafka.bootstrap, name, 1)
    with deadly_swarm(kafka, name, nodes=1, BY="raise", LETTERS=letters) as swarm:
        eventually(
            lambda: kafka.committed(name, name) == {0: 6},
            within_s=60.0,
            describe="three are given up",
        )
        shown = ctl(swarm, "swarm", "dlq", "show", letters, "--json")
        assert shown.returncode == 0, shown.stdout
        (kind,) = json.loads(shown.stdout)["kinds"]
        assert (kind["origin"], kind["error"], kind["waiting"]) == (
            name,
            "ValueError",
            3,
        )
        assert kind["last_text"] == "no price"

        (swarm.daemon.folder / "mended").touch()
        replayed = ctl(swarm, "swarm", "dlq", "replay", letters)
        assert replayed.returncode == 0, replayed.stdout
        assert "replayed 3 of 3" in replayed.stdout
        assert "is not known" not in replayed.stdout, "the listener tells of handlers"
        eventually(
            lambda: kafka.committed(name, name) == {0: 9},
            within_s=30.0,
            describe="they are handled",
        )
        assert sum(kafka.end_offsets(letters).values()) == 3
        refused = ctl(swarm, "swarm", "dlq", "replay", letters, "--rate", "fast")
        assert refused.returncode == 2
        assert "such as 50/s" in refused.stdout
        assert ctl(swarm, "swarm", "dlq", "show", f"{name}-no").returncode == 1
