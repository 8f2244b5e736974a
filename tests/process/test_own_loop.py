"""Loops that people keep, with `Liveness` around them."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer

from swarm_worker.shared.report import State
from tests.eventually import eventually
from tests.nodes import ROOT, SUPERVISED, Bare

APPS = ROOT / "tests" / "apps"


@contextmanager
def loop(folder: Path, script: str, *flags: str) -> Iterator[Bare]:
    """Run a script as supervisord would; it is killed at the end at the latest."""
    it = Bare(folder, [sys.executable, str(APPS / script), *flags], SUPERVISED)
    try:
        yield it
    finally:
        it.close()


def test_a_loop_reports_from_entry_to_the_end(tmp_path: Path) -> None:
    """Booting, running, stopping; the node id ends the process's name."""
    with loop(tmp_path, "plain_loop.py", "work") as it:
        report = it.await_reported(State.RUNNING)
        it.send(signal.SIGTERM)
        it.await_reported(State.STOPPING)
        it.send(signal.SIGTERM)
        assert it.await_end() == 0

    assert it.reports[0].state is State.BOOTING
    assert (report.node, report.pid) == (3, it.process.pid)
    assert report.max_poll_interval_ms == 7_000
    assert report.poll_age_ms is not None
    assert it.stdout.startswith("before the loop\n")
    assert "in the loop" in it.log


def test_a_loop_that_never_polls_boots(tmp_path: Path) -> None:
    """It is not judged for polls that it has not begun."""
    with loop(tmp_path, "plain_loop.py", "boot") as it:
        eventually(lambda: len(it.reports) > 2, describe="reports")
        assert {report.state for report in it.reports} == {State.BOOTING}
        assert it.reports[-1].poll_age_ms is None


def test_a_stuck_loop_tells_where(tmp_path: Path) -> None:
    """Both ages grow, the place is named, TTIN shows the stack."""
    with loop(tmp_path, "plain_loop.py", "stuck") as it:
        old = eventually(
            lambda: next(
                (r for r in it.reports if (r.consume_age_ms or 0) > 900), None
            ),
            describe="a growing age",
        )
        assert old.in_flight == ("orders/0@1",)
        assert old.poll_age_ms is not None
        assert old.poll_age_ms >= 900
        it.send(signal.SIGTTIN)
        it.await_logged("plain_loop.py")
        assert it.process.poll() is None


def test_a_loop_that_crashes_in_c_leaves_all_stacks(tmp_path: Path) -> None:
    """In its log, as a node does."""
    with loop(tmp_path, "plain_loop.py", "crash_in_c") as it:
        assert it.await_end() == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in it.log
    assert "plain_loop.py" in it.log


def test_an_error_in_the_loop_is_the_loops(tmp_path: Path) -> None:
    """It passes through; the process ends as it would without reports."""
    with loop(tmp_path, "plain_loop.py", "fail") as it:
        assert it.await_end() == 1
    assert "RuntimeError: fail" in it.log


@pytest.fixture
def broker() -> Callable[[list[str]], str]:
    """Return a function that puts values into the topic ``orders`` of a mock broker."""
    producer = Producer(
        {"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0}
    )

    def produce(values: list[str]) -> str:
        for value in values:
            producer.produce("orders", value)
        assert producer.flush(10.0) == 0
        brokers = producer.list_topics(timeout=10.0).brokers.values()
        return ",".join(f"{each.host}:{each.port}" for each in brokers)

    return produce


def test_the_worked_example_consumes_and_reports(
    tmp_path: Path, broker: Callable[[list[str]], str]
) -> None:
    """The loop of the documentation, as it stands there."""
    bootstrap = broker(["apple", "pear"])
    with loop(tmp_path, "loop_confluent.py", bootstrap, "billing", "orders") as it:
        it.await_logged("apple")
        it.await_logged("pear")
        assert it.await_reported(State.RUNNING).poll_age_ms is not None
        it.send(signal.SIGTERM)
        assert it.await_end(within_s=20.0) == 0
    assert "apple" not in it.stdout
