"""What may block or raise has a thread of its own."""

from __future__ import annotations

import threading

import pytest

from swarm_worker.process.aside import WAITING_MAX, Aside, begun
from tests.eventually import eventually


def test_what_is_made_is_given_once_it_is_there() -> None:
    """Nobody is held up meanwhile."""
    may_end = threading.Event()
    making = begun(lambda: may_end.wait(10) and "made", name="making")
    assert not making.done()

    may_end.set()
    assert making.result(10) == "made"


def test_why_it_could_not_be_made_is_raised_where_it_is_asked_for() -> None:
    """Not on the thread that made it."""

    def make() -> None:
        raise OSError("no token")

    making = begun(make, name="making")
    with pytest.raises(OSError, match="no token"):
        making.result(10)


def test_a_callback_of_the_apps_holds_up_nobody() -> None:
    """One that hangs, or raises; the token's own is librdkafka's business."""
    called: list[object] = []
    may_go_on = threading.Event()

    def slow(fact: object) -> None:
        may_go_on.wait(10)
        called.append(fact)

    def broken(_: object) -> None:
        raise SystemExit

    brought = {
        "stats_cb": slow,
        "error_cb": broken,
        "oauth_cb": print,
        "client.id": "c",
    }
    kept_off = Aside("g").keep_off(brought)
    assert kept_off["oauth_cb"] is print
    assert kept_off["client.id"] == "c"

    kept_off["error_cb"]("e")
    kept_off["stats_cb"]("first")
    kept_off["stats_cb"]("second")
    assert called == []
    may_go_on.set()
    eventually(lambda: called == ["first", "second"], describe="both, in order")


def test_what_is_never_taken_is_left_out_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Memory is bounded, whatever a callback waits for."""
    may_end = threading.Event()
    hangs = Aside("g").keep_off({"stats_cb": lambda _: may_end.wait(10)})["stats_cb"]

    for number in range(WAITING_MAX + 10):
        hangs(number)
    may_end.set()

    assert caplog.text.count("app_callback_left_out group=g callback=stats_cb") == 1
