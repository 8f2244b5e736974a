"""What Prometheus reads: judged by its own parser, and by those who use it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from swarm_event_listener.core.model.events import (
    Measured,
    ProcessInfo,
    ProcessState,
    Reported,
    Surveyed,
)
from swarm_event_listener.core.model.record import Cause, Record
from swarm_event_listener.core.model.rules import Limits
from swarm_event_listener.core.policy import Policy
from swarm_event_listener.core.swarm import Swarm
from swarm_event_listener.outlets.metrics.exposition import exposition
from swarm_event_listener.outlets.metrics.family import Family
from swarm_event_listener.outlets.metrics.metrics import families
from swarm_event_listener.outlets.metrics.outlet import MetricsOutlet, writer
from swarm_event_listener.outlets.metrics.page import Page
from swarm_event_listener.outlets.metrics.server import MetricsServer, Snapshot, answer
from swarm_event_listener.outlets.metrics.totals import Totals
from swarm_event_listener.outlets.status import Counters
from swarm_worker.shared.report import Failing, Report, State

if TYPE_CHECKING:
    import pytest

CONF = Path(__file__).resolve().parents[4] / "conf"
NOW_S = 1_000.0
BUSY = Report(
    node=0,
    pid=7,
    state=State.RUNNING,
    poll_age_ms=250,
    consume_age_ms=1_500,
    stalled_ms=2_000,
    unsteady_ms=3_000,
    assigned=3,
    messages=10,
    lag=5,
    brokers_up=2,
)
Samples = dict[tuple[str, ...], float]


class Server(MetricsServer):
    """A server without a socket: what it was given is looked at."""

    shown: Snapshot

    def show(self, snapshot: Snapshot) -> None:
        """Keep it."""
        self.shown = snapshot


def swarm_of_two() -> Swarm:
    """Return a node that works and one that is down."""
    limits = Limits(memory_limit_bytes=2**30)
    swarm = Swarm({"w": Policy(limits=limits)})
    running = ProcessInfo(name="w:w_00", state=ProcessState.RUNNING, pid=7)
    down = ProcessInfo(name="w:w_01", state=ProcessState.FATAL, pid=None)
    swarm.handle(Surveyed(processes=(running, down)), now_s=NOW_S)
    swarm.handle(Reported(name="w:w_00", pid=7, report=BUSY), now_s=NOW_S)
    return swarm


def scraped(text: bytes) -> dict[str, Samples]:
    """Return each metric's samples by the values of their labels, as Prometheus."""
    found: dict[str, Samples] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            key = tuple(sample.labels.values())
            assert key not in found.setdefault(sample.name, {})
            found[sample.name][key] = sample.value
    return found


def text_of(swarm: Swarm, totals: Totals | None = None) -> bytes:
    """Return the text of a scrape."""
    shown = families(
        swarm, Counters(), totals or Totals(), now_s=NOW_S + 1, is_well=True
    )
    return b"".join(exposition(shown))


def test_a_node_is_seen_as_it_is() -> None:
    """Ages in seconds, sizes in bytes; 0 where a healthy node has none."""
    seen = scraped(text_of(swarm_of_two()))
    up = ("w", "w_00")

    assert seen["kafka_swarm_node_running"] == {up: 1, ("w", "w_01"): 0}
    assert seen["kafka_swarm_node_report_age_seconds"] == {up: 1}
    assert seen["kafka_swarm_node_poll_age_seconds"] == {up: 0.25}
    assert seen["kafka_swarm_node_consume_age_seconds"] == {up: 1.5}
    assert seen["kafka_swarm_node_stalled_seconds"] == {up: 2}
    assert seen["kafka_swarm_node_unsteady_seconds"] == {up: 3}
    assert seen["kafka_swarm_node_assigned_partitions"] == {up: 3}
    assert seen["kafka_swarm_node_lag_messages"] == {up: 5}
    assert seen["kafka_swarm_node_connected_brokers"] == {up: 2}
    assert seen["kafka_swarm_node_memory_limit_bytes"][up] == 2**30
    assert "kafka_swarm_node_memory_bytes" not in seen  # not read yet


def test_a_node_that_is_down_has_no_figures_of_its_past() -> None:
    """Its last lag would look like one of now, for as long as it is stopped."""
    swarm = swarm_of_two()
    swarm.handle(Measured(name="w:w_00", pid=7, memory_bytes=3), now_s=NOW_S)
    stopped = ProcessInfo(name="w:w_00", state=ProcessState.STOPPED, pid=None)
    swarm.handle(Surveyed(processes=(stopped,)), now_s=NOW_S)

    seen = scraped(text_of(swarm))
    told = {name for name, samples in seen.items() if ("w", "w_00") in samples}
    gauges = {name for name in told if not name.endswith("_total")}
    assert gauges == {
        f"kafka_swarm_node_{name}"
        for name in (
            *("running", "healthy", "backing_off", "failing", "held", "stopped"),
            "spare",
            "memory_limit_bytes",
        )
    }


def test_all_reasons_are_there_before_anything_happened() -> None:
    """An increase from nothing to 1 is none for Prometheus."""
    seen = scraped(text_of(swarm_of_two()))

    assert seen["kafka_swarm_node_consuming_restarts_total"]["w", "w_00"] == 0
    assert seen["kafka_swarm_node_silent_dry_runs_total"]["w", "w_01"] == 0


def test_what_is_taken_for_a_scrape_is_little() -> None:
    """Nodes share their labels among all metrics; no piece of the text is large."""
    swarm = swarm_of_two()
    shown = list(families(swarm, Counters(), Totals(), now_s=NOW_S, is_well=True))
    of_nodes = [family for family in shown if "_node_" in family.name]
    labels = {id(own) for family in of_nodes for own, _ in family.samples}

    assert len(labels) == len(swarm.nodes)
    assert all(piece.count(b"# HELP") <= 1 for piece in exposition(shown))


def test_names_and_help_follow_the_conventions() -> None:
    """Counters end with _total, and nothing else; each has its help."""
    for family in families(
        swarm_of_two(), Counters(), Totals(), now_s=NOW_S, is_well=True
    ):
        assert re.fullmatch(r"kafka_swarm_[a-z_]+", family.name)
        assert family.name.endswith("_total") == (family.kind == "counter")
        assert family.help.endswith(".")
        if family.name.endswith("_seconds"):
            assert "Seconds" in family.help
        labels = [dict(labels) for labels, _ in family.samples]
        assert all(set(own) <= {"group", "node"} for own in labels)


def test_names_that_are_odd_are_escaped() -> None:
    r"""A label may hold any text; ``\``, ``"`` and line ends are written as escapes."""
    odd = 'a"b\\c\nd\\n é'
    labels = (("l", odd),)
    (text,) = exposition(
        [Family(name="x", kind="gauge", help="a\\b\nc", labels=[labels], values=[1.5])]
    )

    (family,) = text_string_to_metric_families(text.decode())
    assert family.documentation == "a\\b\nc"
    assert [(s.labels, s.value) for s in family.samples] == [({"l": odd}, 1.5)]


def test_only_reports_that_the_core_takes_are_counted() -> None:
    """One of a former process, delivered late, would count all over again."""
    swarm, server = swarm_of_two(), Server(("", 0))
    outlet = MetricsOutlet(server, Page([], wall=str), writer())
    late = Report(node=0, pid=6, state=State.RUNNING, seq=0, messages=99)
    for pid, report in ((7, BUSY), (6, late), (7, BUSY)):
        event = Reported(name="w:w_00", pid=pid, report=report)
        swarm.handle(event, now_s=NOW_S)
        outlet.reported(swarm, event)
    outlet.restarted(
        Record(
            node="w:w_00", pid=1, cause=Cause.RULE, status=2, reason="", detected_at_s=1
        )
    )
    outlet.show(swarm, Counters(bad_reports=4), now_s=NOW_S, trouble="deaf")

    assert server.shown.metrics is not None
    seen = scraped(b"".join(server.shown.metrics()))
    assert seen["kafka_swarm_node_messages_total"]["w", "w_00"] == 10
    assert seen["kafka_swarm_node_restarts_total"]["w", "w_00"] == 1
    assert seen["kafka_swarm_node_consuming_restarts_total"]["w", "w_00"] == 1
    assert seen["kafka_swarm_listener_bad_reports_total"][()] == 4
    assert seen["kafka_swarm_listener_healthy"][()] == 0
    assert server.shown.trouble == "deaf"


def test_a_scrape_is_written_when_one_asks_and_once() -> None:
    """In the server's thread: the loop takes what there is, and goes on."""
    written: list[int] = []

    def write(shown: Iterable[Family]) -> list[bytes]:
        written.append(len(tuple(shown)))
        return [b"te", b"xt"]

    server = Server(("", 0))
    outlet = MetricsOutlet(server, Page([], wall=str), write)
    outlet.show(swarm_of_two(), Counters(), now_s=NOW_S, trouble="")

    assert written == []
    assert server.shown.metrics is not None
    assert [server.shown.metrics(), server.shown.metrics()] == 2 * [[b"te", b"xt"]]
    assert written == [len(known_names())]


def test_without_its_library_it_is_said_and_the_rest_is_served(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A rebuilt environment without the extra costs the figures, not the swarm."""
    monkeypatch.delitem(sys.modules, "swarm_event_listener.outlets.metrics.exposition")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    server = Server(("", 0))
    outlet = MetricsOutlet(server, Page([], wall=str), writer())
    outlet.show(swarm_of_two(), Counters(), now_s=NOW_S, trouble="")

    (line,) = caplog.messages
    assert "metrics_not_written" in line
    assert "kafka-consumer-swarm[metrics]" in line
    asked = b"".join(answer(b"GET /metrics HTTP/1.1\r\n\r\n", server.shown, page=b""))
    assert asked.startswith(b"HTTP/1.1 503")
    assert b"kafka-consumer-swarm[metrics]" in asked
    (well,) = answer(b"GET /healthz HTTP/1.1\r\n\r\n", server.shown, page=b"")
    assert well.startswith(b"HTTP/1.1 204")


# --- those who go by the names --------------------------------------------------------


def known_names() -> set[str]:
    """Return all metrics that there are."""
    shown = families(swarm_of_two(), Counters(), Totals(), now_s=NOW_S, is_well=True)
    return {family.name for family in shown}


def names_in(text: str) -> set[str]:
    """Return the metrics that a text goes by."""
    return set(re.findall(r"kafka_swarm_[a-z_]+", text))


def test_alerts_go_by_metrics_that_there_are() -> None:
    """One that is misspelt never fires."""
    named = names_in((CONF / "prometheus" / "alerts.yml").read_text("utf-8"))

    assert named
    assert named <= known_names()


def test_the_dashboard_goes_by_metrics_that_there_are() -> None:
    """And shows all of them, each panel with a title and at its own place."""
    text = (CONF / "grafana" / "swarm.json").read_text("utf-8")
    dashboard = json.loads(text)
    places = [tuple(panel["gridPos"].values()) for panel in dashboard["panels"]]
    beyond = {"held", "batches_total", "restarts_total"}
    unshown = {f"kafka_swarm_node_{name}" for name in beyond} | {
        "kafka_swarm_listener_events_total",
        "kafka_swarm_listener_reports_total",
    }

    assert names_in(text) <= known_names()
    assert known_names() - names_in(text) <= unshown
    assert len(set(places)) == len(places)
    assert all(panel["title"] and panel["targets"] for panel in dashboard["panels"])


# --- messages that fail ---------------------------------------------------------------


def swarm_that_fails() -> Swarm:
    """Give a node that is well but for two messages."""
    swarm = swarm_of_two()
    messages = tuple(
        Failing(at=f"t/{n}@7", error="E('x')", attempts=8, for_ms=180_000 - n)
        for n in range(2)
    )
    report = replace(BUSY, failing=messages, failing_count=2)
    swarm.handle(Reported(name="w:w_00", pid=7, report=report), now_s=NOW_S)
    return swarm


def test_messages_that_fail_have_their_number_and_age() -> None:
    """And the node is not called healthy."""
    seen = scraped(text_of(swarm_that_fails()))
    key = ("w", "w_00")
    figures = {
        name: seen[f"kafka_swarm_node_{name}"][key]
        for name in ("healthy", "failing", "failing_partitions", "failing_seconds")
    }
    assert figures == {
        "healthy": 0,
        "failing": 1,
        "failing_partitions": 2,
        "failing_seconds": 180,
    }

    well = scraped(text_of(swarm_of_two()))
    assert well["kafka_swarm_node_failing_seconds"][key] == 0
    assert well["kafka_swarm_node_failing"][key] == 0


def test_what_keeps_a_node_from_messages_has_its_times() -> None:
    """0 where nothing does; the age of a lag is one in any case."""
    swarm, key = swarm_of_two(), ("w", "w_00")
    names = ("lag_age_seconds", "lso_behind_seconds", "throttled_seconds")

    def times() -> list[float | None]:
        seen = scraped(text_of(swarm))
        return [seen.get(f"kafka_swarm_node_{name}", {}).get(key) for name in names]

    assert times() == [None, 0, 0]
    report = replace(BUSY, lag_age_ms=3_100, lso_behind_ms=91_000, throttled_ms=1_200)
    swarm.handle(Reported(name="w:w_00", pid=7, report=report), now_s=NOW_S)
    assert times() == [3.1, 91, 1.2]


def test_healthz_and_page_name_what_fails() -> None:
    """No 503: a restart of the listener or of its machine cures no message."""
    server = Server(("", 0))
    page = Page([], wall=str)
    outlet = MetricsOutlet(server, page, None)
    swarm = swarm_that_fails()
    swarm.handle(
        Surveyed(
            processes=(
                ProcessInfo(name="w:w_00", state=ProcessState.RUNNING, pid=7),
                ProcessInfo(name="w:w_01", state=ProcessState.STOPPED, pid=None),
            )
        ),
        now_s=NOW_S,
    )
    outlet.show(swarm, Counters(), now_s=NOW_S, trouble="")
    text = b"".join(answer(b"GET /healthz HTTP/1.1\r\n\r\n", server.shown, page=b""))
    line = "t/0@7 fails: E('x'), 8 attempts, for 3 min"

    assert text.startswith(b"HTTP/1.1 200")
    assert text.endswith(f"\r\n\r\nw:w_00 is failing: {line}\n".encode())
    (first, second) = json.loads(page.data(swarm, now_s=NOW_S, trouble=""))["nodes"]
    assert (first["health"], first["why"]) == ("failing", line)
    assert first["notes"] == ["t/1@7 fails: E('x'), 8 attempts, for 2 min"]
    assert second["notes"] == []
