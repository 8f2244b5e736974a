"""Reports of an own loop."""

import pytest

from swarm_worker import Liveness
from swarm_worker.reporting.liveness import Activity, node_of
from swarm_worker.shared.report import State


def activity() -> Activity:
    """Return the activity of node 3, nothing done."""
    return Activity(node=3, max_poll_interval_ms=5_000)


def test_a_loop_boots_until_it_polls() -> None:
    """Not judged before; afterwards the age counts."""
    loop = activity()
    assert loop.report(now_s=10.0).state is State.BOOTING
    assert loop.report(now_s=10.0).poll_age_ms is None

    loop.polled(now_s=11.0)

    report = loop.report(now_s=12.5)
    assert (report.state, report.poll_age_ms) == (State.RUNNING, 1_500)
    assert (report.node, report.max_poll_interval_ms) == (3, 5_000)


def test_the_oldest_work_counts() -> None:
    """Nested and parallel blocks alike; idle is None."""
    loop = activity()
    outer = loop.began("orders/0@1", now_s=10.0)
    inner = loop.began("orders/1@5", now_s=12.0)

    report = loop.report(now_s=13.0)
    assert report.consume_age_ms == 3_000
    assert report.in_flight == ("orders/0@1", "orders/1@5")

    loop.ended(outer, failed=False)
    assert loop.report(now_s=13.0).consume_age_ms == 1_000
    loop.ended(inner, failed=True)
    report = loop.report(now_s=13.0)
    assert (report.consume_age_ms, report.in_flight) == (None, ())
    assert (report.batches, report.errors) == (1, 1)


def test_a_clock_that_another_thread_read_later_gives_no_negative_age() -> None:
    """The report's reader takes whole numbers from 0."""
    loop = activity()
    loop.polled(now_s=11.0)

    assert loop.report(now_s=10.9).poll_age_ms == 0


@pytest.mark.parametrize(
    ("name", "node"), [("swarm_07", 7), ("n12", 12), ("web", 0), ("", 0), ("3x", 0)]
)
def test_the_node_id_ends_the_process_name(name: str, node: int) -> None:
    """Digits at the end, or 0."""
    assert node_of(name) == node


def loop_that_fails() -> None:
    """Poll, print, and fail at the first message."""
    with Liveness(environ={}) as liveness:
        liveness.polled()
        print("mine")  # noqa: T201 - that it stays on stdout is the promise
        with liveness.consuming("orders/0@1"):
            raise ZeroDivisionError


def test_outside_supervisord_nothing_happens(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The same loop runs by hand and in tests; errors pass through."""
    with pytest.raises(ZeroDivisionError):
        loop_that_fails()

    assert capfd.readouterr() == ("mine\n", "")


def test_bounds() -> None:
    """supervisord pays for each report."""
    with pytest.raises(ValueError, match="at least 500"):
        Liveness(liveness_interval_ms=100)
    with pytest.raises(ValueError, match="max_poll_interval_ms of at least 1"):
        Liveness(max_poll_interval_ms=0)
