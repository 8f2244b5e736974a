"""Members that leave for good, are killed, or have a double; on real Kafka."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.awaits import (
    await_committed,
    await_heard,
    await_new_pid,
    await_reports,
    await_seconds,
)
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import PROTOCOLS, produce, unique
from tests.kafka.supervised import deadly_swarm, handled
from tests.process.scenes import (
    name_of,
    pids,
    supervisorctl,
)
from tests.process.swarms import Swarm
from tests.supervisord import ROOT

LONG_SESSION_MS = 45_000  # a test that waits for its end fails


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_retire_hands_partitions_over_at_once(kafka: KafkaBroker, kind: str) -> None:
    """``supervisorctl swarm retire``: the node stays down, others read what it had.

    Started again it is a node like any other. Nothing is lost or repeated.
    """
    name = kafka.create_topic(unique(f"retire-{kind}"), 2)
    own = dict(PROTOCOLS[kind])
    if kind != "consumer":
        own |= {"session.timeout.ms": LONG_SESSION_MS}
    with deadly_swarm(kafka, name, own=own) as swarm:
        await_reports(swarm, 2)

        await_assigned(swarm, 1, 1)
        for partition in range(2):
            produce(kafka.bootstrap, name, 5, partition=partition)
        await_committed(kafka, name, name, {0: 5, 1: 5}, within_s=20.0)

        stays = pids(swarm, 2)[0]
        answer = supervisorctl(swarm, "swarm", "retire", name_of(1))
        assert answer == f"{name_of(1)}: retired\n"
        assert swarm.daemon.state(name_of(1)) == "STOPPED"
        assert f"group_left group={name}" in swarm.daemon.file("w_01.log")
        for partition in range(2):
            produce(kafka.bootstrap, name, 5, partition=partition, first=5)
        await_committed(kafka, name, name, {0: 10, 1: 10}, within_s=20.0)
        assert pids(swarm, 2) == {0: stays, 1: None}

        supervisorctl(swarm, "start", name_of(1))
        await_assigned(swarm, 1, 1)
        for partition in range(2):
            produce(kafka.bootstrap, name, 5, partition=partition, first=10)
        await_committed(kafka, name, name, {0: 15, 1: 15}, within_s=20.0)
        assert len(handled(swarm)) == len(set(handled(swarm))) == 30
        assert swarm.records() == []


def test_quiet_node_that_is_stopped_has_begun_nothing(kafka: KafkaBroker) -> None:
    """``swarm quiet``, then ``stop``: no handler call, polls go on, nobody is revoked.

    Its partition waits for it, since it is to come back.
    """
    name = kafka.create_topic(unique("quiet"), 2)
    own = {**PROTOCOLS["eager"], "session.timeout.ms": LONG_SESSION_MS}
    with deadly_swarm(kafka, name, own=own) as swarm:
        await_reports(swarm, 2)

        await_assigned(swarm, 1, 1)
        assigned = swarm.daemon.file("w_00.log").count("partitions_")
        supervisorctl(swarm, "swarm", "quiet", name_of(1))
        eventually(
            lambda: "node_quiet" in swarm.daemon.file("w_01.log"), describe="quiet"
        )
        for partition in range(2):
            produce(kafka.bootstrap, name, 5, partition=partition)
        eventually(lambda: len(handled(swarm)) == 5, describe="the other works")
        await_heard(swarm, 8)
        assert swarm.status()["nodes"][1]["report"]["poll_age_ms"] < 1_000
        supervisorctl(swarm, "stop", name_of(1))
        assert len(handled(swarm)) == 5
        assert swarm.daemon.file("w_00.log").count("partitions_") == assigned

        supervisorctl(swarm, "start", name_of(1))
        await_committed(kafka, name, name, {0: 5, 1: 5}, within_s=20.0)
        assert len(set(handled(swarm))) == len(handled(swarm)) == 10


def test_killed_node_waits_inside_for_its_id(kafka: KafkaBroker) -> None:
    """Consumer protocol, back before its session ends: it waits, and goes to work.

    It is not FATAL, no rule is broken, and it gets its share again.
    """
    name = kafka.create_topic(unique("killed-id"), 2)
    kafka.set_group_config(name, {"consumer.session.timeout.ms": "8000"})
    with deadly_swarm(kafka, name, own=PROTOCOLS["consumer"]) as swarm:
        await_reports(swarm, 2)
        await_assigned(swarm, 1, 1)
        killed = swarm.pid(1)
        os.kill(killed, signal.SIGKILL)
        pid = await_new_pid(swarm.daemon, name_of(1), than=killed)
        eventually(
            lambda: "about=held_id" in swarm.daemon.file("w_01.log"),
            describe="it says that it waits",
        )
        for partition in range(2):
            produce(kafka.bootstrap, name, 5, partition=partition)
        await_committed(kafka, name, name, {0: 5, 1: 5}, within_s=30.0)
        # The other node may have worked all of it off before this one tries again.
        eventually(
            lambda: "instance_id_free" in swarm.daemon.file("w_01.log"),
            within_s=20.0,
            describe="its id is free",
        )
        assert swarm.daemon.file("w_01.log").count("kafka_trouble ") == 1
        assert swarm.pid(1) == pid
        await_assigned(swarm, 1, 1)
        assert len(set(handled(swarm))) == len(handled(swarm)) == 10
        assert swarm.records() == []


def test_node_with_a_double_exits_and_stays_down(kafka: KafkaBroker) -> None:
    """Two processes with one instance id, classic protocol: the newer one survives.

    The older one exits with 5 within 10 s and says why; nobody starts it again.
    """
    name = kafka.create_topic(unique("double"), 1)
    with deadly_swarm(kafka, name, nodes=1) as swarm:
        await_reports(swarm, 1)
        await_assigned(swarm, 1)
        with double(swarm, name) as rival:
            eventually(
                lambda: swarm.daemon.state(name_of(0)) == "EXITED",
                within_s=10.0,
                describe="the older one is gone",
            )
            log = swarm.daemon.file("w_00.log")
            assert "exit_code=5" in log
            assert "another process has joined with instance id" in log
            produce(kafka.bootstrap, name, 5)
            await_committed(kafka, name, name, {0: 5}, within_s=20.0)
            await_seconds(3.0)
            assert rival.poll() is None
            assert swarm.daemon.state(name_of(0)) == "EXITED"
            assert {pid for _, _, pid in handled(swarm)} == {rival.pid}


@contextmanager
def double(swarm: Swarm, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run node 0 once more, past supervisord and the slot lock: as another machine."""
    folder = swarm.daemon.folder
    command = [sys.executable, "-m", "swarm_worker", "tests.apps.deadly:app"]
    flags = ["--config", f"{folder}/swarm.toml", "--state-dir", f"{folder}/elsewhere"]
    told = {"DEADLY_TOPIC": name, "DEADLY_PATH": str(folder / "handled")}
    with subprocess.Popen(
        [*command, *flags], env={**os.environ, **told, "PYTHONPATH": str(ROOT)}
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def await_assigned(swarm: Swarm, *counts: int) -> None:
    """Wait until each node has so many partitions."""

    def assigned() -> bool:
        reports = [node["report"] or {} for node in swarm.status()["nodes"]]
        return [report.get("assigned") for report in reports] == list(counts)

    eventually(assigned, within_s=20.0, describe=f"nodes hold {counts} partitions")
