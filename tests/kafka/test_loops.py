"""The loops of docs/own-loop.md, each run as it stands there."""

import signal
import sys
from pathlib import Path

import pytest

from swarm_worker.shared.report import State
from tests.awaits import await_committed
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import produce, unique
from tests.nodes import ROOT, SUPERVISED, Bare

LOOPS = ("loop_confluent.py", "loop_aiokafka.py", "loop_kafka_python.py")


def start(folder: Path, script: str, kafka: KafkaBroker, name: str) -> Bare:
    """Run a loop as supervisord would, on a topic and a group of one name."""
    argv = [sys.executable, str(ROOT / "tests" / "apps" / script)]
    return Bare(folder, [*argv, kafka.bootstrap, name, name], SUPERVISED)


def consumed(it: Bare, numbers: range) -> None:
    """Wait until exactly these values were handled, in order."""
    wanted = [str(number) for number in numbers]

    def handled() -> bool:
        return [line for line in it.log.splitlines() if line.isdigit()] == wanted

    eventually(handled, within_s=30.0, describe=f"{wanted} handled, log:\n{it.log}")


@pytest.mark.parametrize("script", LOOPS)
def test_loop_consumes_reports_and_goes_on_where_it_ended(
    kafka: KafkaBroker, tmp_path: Path, script: str
) -> None:
    """It reports polls, ends with 0 on TERM, and its successor repeats nothing."""
    name = kafka.create_topic(unique("loop"), 1)
    for first in (0, 5):
        produce(kafka.bootstrap, name, 5, first=first)
        it = start(tmp_path, script, kafka, name)
        try:
            consumed(it, range(first, first + 5))
            report = it.await_reported(State.RUNNING)
            assert (report.node, report.max_poll_interval_ms) == (3, 300_000)
            assert report.poll_age_ms is not None
            it.send(signal.SIGTERM)
            assert it.await_end(within_s=20.0) == 0
        finally:
            it.close()
        assert it.reports[-1].state is not State.BOOTING
        await_committed(kafka, name, name, {0: first + 5})
