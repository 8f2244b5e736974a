"""What a client's monitor tells of lag, of transactions that hang, and of quotas."""

from collections.abc import Collection, Mapping
from typing import Any

import pytest

from swarm_worker.app.app import Route
from swarm_worker.kafka.monitoring.brokers import THROTTLED_RECENT_S
from swarm_worker.kafka.monitoring.monitor import Monitor
from swarm_worker.processing.lane import Key
from swarm_worker.processing.lanes import Lanes
from swarm_worker.reporting.progress import Progress
from swarm_worker.shared.report import Report, State
from tests.clock import FakeClock
from tests.unit.swarm_worker.kafka.test_statistics import KEY, told


class FakeAsker:
    """Leaders that answer when they are told to."""

    def __init__(self) -> None:
        self.asked: list[Collection[Key]] = []
        self.answer: Mapping[Key, int] | None = None

    def ask_ends(self, partitions: Collection[Key]) -> None:
        """Note it."""
        self.asked.append(partitions)

    def ends(self) -> Mapping[Key, int] | None:
        """Answer once."""
        answer, self.answer = self.answer, None
        return answer


class Fixture:
    """One partition of a group, and the statistics of its client."""

    def __init__(self) -> None:
        self.clock, self.asker, self.progress = FakeClock(), FakeAsker(), Progress()
        self.lanes = Lanes(node=0, max_messages=1, submit=lambda _: None)
        self.monitor = Monitor(
            "g",
            {},
            progress=self.progress.add_consumer("g"),
            lanes=self.lanes,
            clock=self.clock,
            end_asker=self.asker,
        )
        self.monitor.member.assigned(is_empty=False)
        route = Route(topics=("t",), group="g", handler=lambda _: None)
        self.lane = self.lanes.open(*KEY, route, now_s=self.clock())

    def see(self, after_s: float = 5.0, **changed: Any) -> Report:
        """Take statistics; return a report of that moment."""
        self.clock.advance(after_s)
        self.monitor.on_statistics(told(**changed))
        return self.report

    def answer(self, ends: Mapping[Key, int], after_s: float = 0.0) -> Report:
        """Let leaders answer; return a report of that moment."""
        self.clock.advance(after_s)
        self.asker.answer = ends
        self.monitor.partitions.tend(now_s=self.clock())
        return self.report

    @property
    def report(self) -> Report:
        """What a report says now."""
        return self.progress.report(State.RUNNING, now_s=self.clock())


def test_an_end_that_was_asked_for_counts_at_once() -> None:
    """And grows old until the next one."""
    fixture = Fixture()
    assert (fixture.see().lag, fixture.report.lag_age_ms) == (None, None)
    fixture.answer({KEY: 10})
    fixture.see()
    fixture.lanes.back_pressure.pause([fixture.lane])
    fixture.see(committed=4)
    assert fixture.asker.asked == [[KEY], [KEY]]
    seen = fixture.answer({KEY: 6_240}, after_s=0.5)
    assert (seen.lag, seen.lag_age_ms) == (6_236, 500)

    seen = fixture.see(committed=9)
    assert (seen.lag, seen.lag_age_ms) == (6_231, 5_500)
    seen = fixture.answer({})
    assert (seen.lag, seen.lag_age_ms) == (6_231, 5_500), "as nobody answered"


def test_without_an_answer_nothing_changes() -> None:
    """It is looked for before each poll."""
    fixture = Fixture()
    fixture.monitor.partitions.tend(now_s=fixture.clock())
    assert fixture.report.lag is None


def test_a_transaction_that_hangs_is_logged_once_and_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With its partition, and what to do; until the offset moves."""
    caplog.set_level("INFO")
    fixture = Fixture()
    reports = [fixture.see(ls=10, hi=15) for _ in range(20)]
    assert reports[12].lso_behind_ms is None, "for a minute"
    assert reports[-1].lso_behind_ms == 95_000
    (line,) = caplog.messages
    assert line.startswith("kafka_trouble group=g about=transaction detail=")
    assert "t/0: the last stable offset" in line

    assert fixture.see(ls=15, hi=15).lso_behind_ms is None
    assert caplog.messages[1].startswith("kafka_trouble_over group=g about=transaction")


def test_a_quota_is_logged_once_and_reported_while_it_is_recent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A broker holds an answer back now and then; the last time's length is told."""
    caplog.set_level("INFO")
    fixture = Fixture()
    assert fixture.see().throttled_ms is None
    assert fixture.see(throttled_ms=1_200).throttled_ms == 1_200
    assert fixture.see(throttled_ms=0).throttled_ms == 1_200
    assert fixture.see(throttled_ms=700).throttled_ms == 700
    assert fixture.see(after_s=THROTTLED_RECENT_S).throttled_ms == 700
    (line,) = caplog.messages
    assert line.startswith("kafka_trouble group=g about=quota detail=")

    assert fixture.see().throttled_ms is None
    assert caplog.messages[1].startswith("kafka_trouble_over group=g about=quota")
